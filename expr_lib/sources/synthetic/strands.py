"""The hair of the head as curves, grown once a person."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from expr_lib.sources.synthetic.canonical import Array, smoothstep
from expr_lib.sources.synthetic.hair import CUTS, Hair
from expr_lib.sources.synthetic.head import Head
from expr_lib.sources.synthetic.raster import vertex_normals

Rng = np.random.Generator

SKULL_CENTRE = np.array([0.0, -0.55, -1.05])
"""Middle of the skull."""
_KNOT = np.array([0.0, -0.55, -2.75])
"""Where tied hair is drawn together."""
STEPS = 14
"""Points of a strand of the scalp."""


@dataclass(frozen=True)
class Strands:
    """Hairs that keep their shape.

    points   (S, K, 3) float32, head coordinates
    colours  (S, K, 3) float32 linear RGB, before light
    width    (S, K) eye distances
    opacity  (S,)
    """

    points: Array
    colours: Array
    width: Array
    opacity: Array


def shades(rng: Rng, colour: Array, count: int, steps: int, contrast: float) -> Array:
    """Linear RGB (count, steps, 3) of hairs, each a little different from `colour`."""
    tone = np.exp(contrast * rng.standard_normal((count, 1, 1)))
    warm = 1 + 0.06 * rng.standard_normal((count, 1, 1)) * np.array([1, 0.4, -0.4])
    return (np.ones((1, steps, 1)) * tone * warm * colour).astype(np.float32)


def _roots(base: Head, vertices: Array, rng: Rng, hair: Hair, count: int) -> tuple[Array, Array]:
    """Places (N, 3) on the scalp and directions (N, 3) out of it."""
    faces = base.skin_faces
    angle, y = base.angle[faces], base.points[faces, 1]
    above = hair.line_height(angle.mean(1)) - y.mean(1)
    inside = (above > -0.05) & (base.ear[faces].max(1) < 0.3) & (np.ptp(angle, axis=1) < 3)
    inside |= (y.mean(1) < -1.2) & (base.ear[faces].max(1) < 0.3)
    faces, above = faces[inside], above[inside]
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    area *= smoothstep(-0.05, 0.12, above)
    area *= 1 - 0.85 * hair.receding * smoothstep(-1.1, -1.6, base.points[faces, 1].mean(1))
    if CUTS[hair.cut].fringe:  # dense enough to hide the forehead
        area *= 1 + 2.5 * (above < 0.42) * (np.abs(base.angle[faces].mean(1)) < 0.8)
    chosen = rng.choice(len(faces), count, p=area / area.sum())
    w = rng.random((count, 2))
    w[w.sum(1) > 1] = 1 - w[w.sum(1) > 1]
    weights = np.stack([1 - w.sum(1), w[:, 0], w[:, 1]], 1)[:, :, None]
    normals = vertex_normals(vertices, base.faces)
    place = (vertices[faces[chosen]] * weights).sum(1)
    out = (normals[faces[chosen]] * weights).sum(1)
    return place, _unit(out)


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


class _Skull:
    """How far the head reaches in every direction from its middle."""

    def __init__(self, base: Head, vertices: Array) -> None:
        skin = np.unique(base.skin_faces)
        skin = skin[(vertices[skin, 1] < 1.3) & (base.ear[skin] < 0.5) & (base.mouth[skin] < 0.5)]
        out = vertices[skin] - SKULL_CENTRE
        self.radius = np.linalg.norm(out, axis=1)
        self.tree = cKDTree(out / self.radius[:, None])

    def settle(self, points: Array, clearance: Array, slack: float = 9.0) -> Array:
        """Points moved to `clearance` (N,) above the skin, or at most `slack` more than that."""
        out = points - SKULL_CENTRE
        far = np.linalg.norm(out, axis=1)
        direction = out / np.maximum(far, 1e-6)[:, None]
        _, nearest = self.tree.query(direction, k=2)
        floor = self.radius[nearest].mean(1) + clearance
        ceiling = np.where(points[:, 1] < 0.9, floor + slack, 99.0)
        return SKULL_CENTRE + direction * np.clip(far, floor, ceiling)[:, None]


def grow_scalp(base: Head, vertices: Array, rng: Rng, hair: Hair) -> Strands | None:
    """Grow the hair of the head; None when it is shaved."""
    cut = CUTS[hair.cut]
    if not cut.strands:
        return None
    roots, out = _roots(base, vertices, rng, hair, cut.strands)
    skull = _Skull(base, vertices)
    points = _tie(skull, roots, rng) if cut.tied else _fall(skull, roots, out, rng, hair)
    count, steps = points.shape[:2]
    colours = shades(rng, hair.colour, count, steps, 0.32)
    along = np.linspace(0, 1, steps)
    # strands that lie deep get little light
    depth = np.linalg.norm(points - SKULL_CENTRE, axis=2)
    deep = depth - np.take_along_axis(depth, np.zeros((count, 1), int), 1)
    colours *= np.clip(0.55 + 0.55 * along[None] + 0.4 * deep, 0.45, 1.15)[:, :, None]
    width = np.broadcast_to(0.021 * (1 - 0.75 * along**2), (count, steps)).astype(np.float32)
    opacity = np.full(count, 0.85 if hair.cut != "buzz" else 0.65, np.float32)
    return Strands(points.astype(np.float32), colours.astype(np.float32), width, opacity)


def _tie(skull: _Skull, roots: Array, rng: Rng) -> Array:
    t = np.linspace(0, 1, STEPS)[None, :, None]
    start, stop = _unit(roots - SKULL_CENTRE)[:, None], _unit(_KNOT - SKULL_CENTRE)[None, None]
    upward = np.array([0.0, -0.25, 0.0])
    path = _unit((1 - t) * start + t * stop + upward * np.sin(np.pi * t))
    flat = (SKULL_CENTRE + path * 0.5).reshape(-1, 3)
    lift = 0.02 + 0.07 * np.sin(np.pi * np.clip(t * 0.8, 0, 1)) * rng.random((len(roots), 1, 1))
    lift = np.broadcast_to(lift, (len(roots), STEPS, 1)).reshape(-1)
    return skull.settle(flat, lift).reshape(len(roots), STEPS, 3)


def _fall(skull: _Skull, roots: Array, out: Array, rng: Rng, hair: Hair) -> Array:
    cut = CUTS[hair.cut]
    count = len(roots)
    long = hair.length > 1.2
    steps = 20 if long else STEPS
    crown = smoothstep(-0.35, -1.25, roots[:, 1])
    length = hair.length * (cut.sides + (1 - cut.sides) * crown) * rng.uniform(0.82, 1.12, count)
    side = np.where(roots[:, 0] > hair.parting + rng.normal(0, 0.03, count), 1.0, -1.0)
    across, down, forward = cut.comb
    comb = np.stack([across * side, np.full(count, down), np.full(count, forward)], 1)
    front = np.zeros(count)
    if cut.fringe:
        behind = hair.line_height(np.arctan2(roots[:, 0], roots[:, 2] + 1.1)) - roots[:, 1]
        near = (behind < 0.42) & (np.abs(roots[:, 0]) < 0.72) & (roots[:, 2] > -0.7)
        front = near.astype(float)
        comb += front[:, None] * (np.array([0.0, 0.8, 1.0]) - comb)
        reach = (cut.fringe - roots[:, 1]) * 1.2 * rng.uniform(0.88, 1.04, count)
        length = length + front * (reach - length)
    # locks: neighbours lean the same way
    wave = rng.normal(0, 1, (3, 3)) * 4
    lean = np.sin(roots @ wave + rng.uniform(0, 6, 3)) * hair.messy * 1.5
    comb = comb + lean + hair.messy * rng.standard_normal((count, 3))
    comb -= (comb * out).sum(1, keepdims=True) * out
    lift = cut.lift * (1 - 0.6 * smoothstep(0.75, 1.0, -out[:, 1])) if cut.lift < 1 else cut.lift
    direction = _unit(out * np.broadcast_to(lift, count)[:, None] + comb)
    layer = rng.random(count) ** 0.7
    thickness = 0.03 + layer * (0.13 if long else 0.06 * cut.lift)
    slack = (0.05 if long else 0.5) + 0.6 * hair.curl
    phase = rng.uniform(0, 6.3, (count, 1)) + (roots @ rng.normal(0, 2.5, (3, 1)))
    step = (length / (steps - 1))[:, None]
    points = np.empty((count, steps, 3))
    points[:, 0] = place = roots
    for k in range(1, steps):
        direction = _unit(direction + np.array([0, cut.gravity, 0]) * step / 0.05)
        place = place + direction * step
        if hair.curl:
            turn = phase[:, 0] + k * (2.4 if not long else 0.9)
            swirl = np.stack([np.cos(turn), 0.3 * np.sin(turn * 0.7), np.sin(turn)], 1)
            place = place + swirl * hair.curl * min(1.0, k / 4) * (0.5 if long else 1.0)
        clear = thickness * min(1.0, k / 3)
        moved = skull.settle(place, clear, slack)
        if long:
            moved = _part_before_face(moved, front)
        direction = _unit(0.5 * direction + 0.5 * _unit(moved - points[:, k - 1]))
        points[:, k] = place = moved
    return points[~_stray(points) | (front > 0.5)] if long else points


def _stray(points: Array) -> Array:
    """Which strands (S, K, 3) hang over the face or the throat."""
    x, y, z = points.transpose(2, 0, 1)
    on_face = (np.abs(x) < 0.62) & (y > -0.55) & (z > -0.35)
    on_throat = (np.abs(x) < 0.75) & (y > 1.6) & (z > -1.7)
    return (on_face | on_throat).any(1)


def _part_before_face(points: Array, front: Array) -> Array:
    """Keep long hair beside the face, except a fringe, and let it spread on the shoulders."""
    x, y, z = points.T
    before = smoothstep(-0.95, -0.5, z) * smoothstep(-1.05, -0.45, y) * (1 - front)
    edge = 0.82 + 0.28 * smoothstep(-0.7, 0.2, y)
    pushed = np.where(x < 0, -1, 1) * np.maximum(np.abs(x), edge * before)
    behind = -0.15 - 0.65 * smoothstep(-0.6, 0.3, y)  # over the ears, not over the cheeks
    pulled = np.where(front > 0.5, z, np.minimum(z, np.maximum(behind, z - 0.5)))
    return np.stack([pushed, y, np.where(y > -0.6, pulled, z)], 1)
