"""Hairs as curves: the scalp's, grown once a person; brows, lashes and beard, moved by the face."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, vstack
from scipy.spatial import cKDTree

from expr_lib.sources.synthetic.canonical import Array, brow_centre, bump, smoothstep
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


@dataclass(frozen=True)
class FaceHairs:
    """Hairs that grow on moving skin.

    anchors  (S * K, V) sparse, skin points that carry the hairs' points
    lift     (S * K,) how far each stands off the skin, eye distances
    steps    K; the rest as in Strands
    """

    anchors: csr_array
    lift: Array
    steps: int
    colours: Array
    width: Array
    opacity: Array


@dataclass(frozen=True)
class Glasses:
    """A frame: its rims' half width and height, how square (2 round .. 5), how thick and bright."""

    half_width: float
    half_height: float
    squareness: float
    thickness: float
    brightness: float


def _shades(rng: Rng, colour: Array, count: int, steps: int, contrast: float) -> Array:
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
    colours = _shades(rng, hair.colour, count, steps, 0.32)
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


def _face_hairs(
    base: Head,
    places: Array,
    lift: Array,
    colours: Array,
    width: Array,
    opacity: Array,
) -> FaceHairs:
    """Hairs through canonical places (S, K, 2) of the front of the head."""
    steps = places.shape[1]
    anchors = base.front.weights(places[:, :, 0].ravel(), places[:, :, 1].ravel())
    return FaceHairs(anchors, lift.ravel().astype(np.float32), steps, colours, width, opacity)


def grow_brows(base: Head, rng: Rng, hair: Hair, male: bool, years: float) -> FaceHairs:
    """Eyebrows: hairs that rise at the inner end and lie along the arch further out."""
    count = int(rng.uniform(130, 430) * (1.25 if male else 0.9) * (0.7 if years < 14 else 1))
    thick = rng.uniform(0.6, 1.7) * (1.2 if male else 0.9)
    inner, outer = rng.uniform(0.14, 0.18), rng.uniform(0.90, 0.96)
    hairs = []
    for sign in (-1, 1):
        t = rng.beta(1.05, 1.15, count)
        x = inner + (outer - inner) * t
        half = np.interp(t, [0, 0.12, 0.45, 0.8, 1], [0.040, 0.055, 0.050, 0.034, 0.012]) * thick
        offset = np.clip(rng.normal(0, 0.5, count), -1, 1)
        y = brow_centre(x) + half * offset + 0.012 * np.sin(np.pi * t)
        slope = brow_centre(x + 0.02) - brow_centre(x - 0.02)
        along = np.arctan2(slope, 0.04)
        # hairs of the upper half lean down to the ridge, of the lower half up to it
        rise = np.interp(t, [0, 0.2, 0.6, 1], [0.85, 0.55, 0.2, 0.0]) + 0.35 * offset
        angle = along - rise + rng.normal(0, 0.12, count)
        length = np.interp(t, [0, 0.3, 1], [0.085, 0.12, 0.07]) * rng.uniform(0.8, 1.2, count)
        k = np.linspace(0, 1, 3)[None]
        bend = angle[:, None] + 0.35 * k
        px = x[:, None] + length[:, None] * k * np.cos(bend)
        py = y[:, None] + length[:, None] * k * np.sin(bend)
        hairs.append(np.stack([sign * px, py], 2))
    places = np.concatenate(hairs)
    total = len(places)
    shade = {"blond": 0.45}.get(hair.colour_name, 0.85) * rng.uniform(0.6, 1.3)
    colour = hair.colour
    if hair.colour_name in ("white", "grey"):  # brows go grey later
        colour = 0.15 * colour + np.array([0.030, 0.024, 0.020])
    lift = np.broadcast_to(np.array([0.004, 0.016, 0.020]), (total, 3))
    colours = _shades(rng, colour * shade, total, 3, 0.18)
    width = np.broadcast_to(np.array([0.013, 0.011, 0.004]), (total, 3)).astype(np.float32)
    opacity = rng.uniform(0.35, 0.85, total) * rng.uniform(0.35, 1.15)
    return _face_hairs(base, places, lift, colours, width, opacity.astype(np.float32))


def grow_lashes(base: Head, rng: Rng, male: bool, makeup: bool) -> FaceHairs:
    """Lashes: rows of hairs along the lids, longer above and outside."""
    lashes = base.lashes
    skin = np.unique(base.skin_faces)
    tree = cKDTree(base.points[skin])
    each = 5 if makeup else 4
    order = np.arange(len(lashes.roots)).repeat(each)
    gap = np.median(np.linalg.norm(np.diff(lashes.roots, axis=0), axis=1))
    side = rng.uniform(-0.6, 0.6, (len(order), 1)) * gap * np.array([1.0, 0.0, 0.0])
    roots = lashes.roots[order] + side
    _, nearest = tree.query(roots)
    reach = (lashes.tips - lashes.roots)[order] * rng.uniform(0.55, 1.0, (len(order), 1))
    reach *= np.where(lashes.upper[order], 0.9, 0.55)[:, None] * (1.0 if makeup else 0.8)
    reach += rng.normal(0, 0.008, reach.shape)
    bend = np.array([0.0, 0.55, 1.0])[None, :, None]
    offsets = (roots - base.points[skin[nearest]])[:, None] + reach[:, None] * bend
    total = len(order)
    columns = skin[nearest].repeat(3)
    shape = (total * 3, len(base.points))
    matrix = csr_array((np.ones(total * 3), (np.arange(total * 3), columns)), shape=shape)
    colours = np.full((total, 3, 3), 0.014, np.float32)
    width = np.broadcast_to(np.array([0.011, 0.008, 0.003]), (total, 3)).astype(np.float32)
    opacity = np.where(lashes.upper[order], 0.8, 0.45) * (1.0 if makeup else 0.8)
    opacity = opacity.astype(np.float32)
    return FaceHairs(matrix, offsets.reshape(-1, 3).astype(np.float32), 3, colours, width, opacity)


BEARDS = ("none", "stubble", "beard", "moustache", "goatee")


def beard_density(kind: str, x: Array, y: Array) -> Array:
    """How thickly a beard of that kind grows at canonical places, 0..1."""
    ax = np.abs(x)
    jaw = smoothstep(0.62, 1.05, y - 0.18 * np.cos(ax * 2.2))
    jaw = jaw * smoothstep(0.34, 0.56, np.maximum(ax, (y - 1.25) * 3))
    jaw = np.maximum(jaw, smoothstep(1.27, 1.38, y) * smoothstep(0.5, 0.3, ax))
    jaw = jaw * smoothstep(2.0, 1.8, y)
    lip = smoothstep(0.77, 0.83, y - 0.25 * np.clip(ax - 0.1, 0, 1))
    lip = lip * smoothstep(1.02, 0.93, y - 0.40 * ax) * smoothstep(0.58, 0.42, ax)
    lip = lip * (1 - 0.5 * bump(x, y, 0, 0.85, 0.035, 0.2))
    if kind == "moustache":
        return lip
    whole = np.maximum(jaw, lip)
    return whole * smoothstep(0.50, 0.38, ax) if kind == "goatee" else whole


def grow_beard(base: Head, rng: Rng, hair: Hair, kind: str) -> FaceHairs | None:
    """A man's beard as hairs; None for shaved skin and stubble, which are painted."""
    if kind not in ("beard", "moustache", "goatee"):
        return None
    tries = 9000
    x, y = rng.uniform(-1.0, 1.0, tries), rng.uniform(0.7, 1.74, tries)
    corners, weights = base.front.corners(x, y)
    lip = (base.lip[corners] * weights).sum(1)
    grown = beard_density(kind, x, y) * (lip < 0.15) * (corners[:, 0] >= 0)
    kept = rng.random(tries) < grown * rng.uniform(0.30, 0.6)
    x, y = x[kept], y[kept]
    count = len(x)
    length = rng.uniform(0.04, 0.09) * rng.uniform(0.7, 1.2, count)
    outward = np.clip(x * 0.5, -0.35, 0.35) + np.where(y < 1.0, np.sign(x) * 0.55, 0)
    angle = np.pi / 2 - outward + rng.normal(0, 0.25, count)
    k = np.linspace(0, 1, 3)[None]
    px = x[:, None] + length[:, None] * k * np.cos(angle[:, None])
    py = y[:, None] + length[:, None] * k * np.sin(angle[:, None])
    places = np.stack([px, np.minimum(py, 1.80)], 2)
    on_skin = (base.front.corners(places[:, :, 0].ravel(), places[:, :, 1].ravel())[0] >= 0).all(1)
    places = places[on_skin.reshape(-1, 3).all(1)]
    count = len(places)
    stand = rng.uniform(0.02, 0.045)
    lift = np.broadcast_to(np.array([0.0, 0.6, 1.0]) * stand, (count, 3))
    colours = _shades(rng, hair.colour * 0.9, count, 3, 0.25)
    width = np.broadcast_to(np.array([0.016, 0.013, 0.006]), (count, 3)).astype(np.float32)
    opacity = np.full(count, 0.6, np.float32)
    return _face_hairs(base, places, lift, colours, width, opacity)


def wear_glasses(base: Head, vertices: Array, frame: Glasses) -> FaceHairs:
    """A frame that sits on the nose: two rims, a bridge and two temples, drawn as thick strands.

    It is anchored to the bridge of the nose and the temples, so that it turns with the head and
    stays when the face moves.
    """
    t = np.linspace(0, 2 * np.pi, 33)
    corner = 2 / frame.squareness
    across = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** corner * frame.half_width
    down = np.sign(np.sin(t)) * np.abs(np.sin(t)) ** corner * frame.half_height
    eyes = [vertices[part].mean(0) for part in base.eyes]
    nose = (base.landmarks[[27]] @ vertices)[0]
    front = max(float(nose[2]), float(vertices[base.eyes[0], 2].max()) + 0.16) + 0.02
    lines = []
    for eye, sign in zip(eyes, (-1, 1), strict=True):
        x = eye[0] + across + sign * 0.02
        curve = front - 0.10 * (x - nose[0]) ** 2  # rims follow the curve of the face
        rim = np.stack([x, eye[1] + 0.05 + down, curve], 1)
        lines.append(rim)
        hinge = rim[np.argmax(sign * rim[:, 0])] + [0, -0.08, 0]
        ear = np.array([sign * 1.22, hinge[1] - 0.02, -1.05])
        lines.append(np.linspace(hinge, ear, 9))
    inner = [lines[0][np.argmax(lines[0][:, 0])], lines[2][np.argmin(lines[2][:, 0])]]
    middle = (inner[0] + inner[1]) / 2 + [0, -0.05, 0.03]
    lines.append(np.stack([inner[0], middle, inner[1]]))
    starts = np.concatenate([line[:-1] for line in lines])
    stops = np.concatenate([line[1:] for line in lines])
    points = np.stack([starts, (starts + stops) / 2, stops], 1)
    anchor = base.landmarks[[27]]
    count = len(points)
    lift = (points.reshape(-1, 3) - nose).astype(np.float32)
    anchors = csr_array(vstack([anchor] * (3 * count)))
    colours = np.full((count, 3, 3), frame.brightness, np.float32)
    width = np.full((count, 3), frame.thickness, np.float32)
    return FaceHairs(anchors, lift, 3, colours, width, np.ones(count, np.float32))
