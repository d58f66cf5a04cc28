"""Hairs that the face moves: brows, lashes and beard; and glasses, drawn as thick ones."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, vstack
from scipy.spatial import cKDTree

from expr_lib.sources.synthetic.canonical import Array, brow_centre, bump, smoothstep
from expr_lib.sources.synthetic.hair import Hair
from expr_lib.sources.synthetic.head import Head
from expr_lib.sources.synthetic.strands import shades

Rng = np.random.Generator


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
    colours = shades(rng, colour * shade, total, 3, 0.18)
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
    colours = shades(rng, hair.colour * 0.9, count, 3, 0.25)
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
