"""Hairs that the face moves: brows, lashes and beard; and glasses, drawn as thick ones."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, vstack

from expr_lib.sources.synthetic.canonical import (
    Array,
    brow_centre,
    bump,
    lid_lower,
    lid_upper,
    smoothstep,
)
from expr_lib.sources.synthetic.hair import Hair
from expr_lib.sources.synthetic.head import Head
from expr_lib.sources.synthetic.strands import shades

Rng = np.random.Generator


@dataclass(frozen=True)
class FaceHairs:
    """Hairs that grow on moving skin.

    anchors  (S * K, V) sparse, skin points that carry the hairs' points
    lift     (S * K,) how far each stands off the skin, or (S * K, 3) where from it, eye distances
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


_LID = (0.36, 0.715)
"""Where lashes grow: distances from the midline."""
_ROOT_PIECES = 7


def grow_lashes(base: Head, rng: Rng, hair: Hair, male: bool, makeup: bool) -> FaceHairs:
    """Lashes, a fan along each lid that leans outwards, and the dark line of their roots."""
    strength = 1.2 if makeup else rng.uniform(0.35, 0.95) * (0.85 if male else 1.1)
    colour = np.array([0.014, 0.014, 0.014])
    if not makeup:
        colour = colour + np.minimum(hair.colour, 0.25) * 0.35
    places, lift, widths, opacity = [], [], [], []
    for count, rise, reach, dark in ((80, -1.0, 0.042, 0.75), (40, 0.8, 0.020, 0.35)):
        for sign in (-1, 1):
            along = rng.beta(1.0, 0.85, count)
            x = _LID[0] + (_LID[1] - _LID[0]) * along
            length = reach * np.interp(along, [0, 0.3, 0.8, 1], [0.45, 0.8, 1.1, 0.9])
            length = length * rng.uniform(0.7, 1.1, count) * strength
            lean = np.interp(along, [0, 0.35, 1], [-0.5, 0.2, 1.6]) + rng.normal(0, 0.25, count)
            tip = np.stack([sign * length * lean, length * rise, 1.1 * length], 1)
            bend = tip * [0.35, -0.10, 0.6]  # they droop before they rise
            places.append(np.repeat(_margin(x, sign, rise)[:, None], 3, axis=1))
            lift.append(np.stack([np.zeros_like(tip), bend, tip], 1))
            widths.append(np.tile([0.012, 0.009, 0.003], (count, 1)))
            opacity.append(np.full(count, dark * min(strength, 1.0)))
            pieces = np.arange(_ROOT_PIECES)[:, None] * 2 + np.arange(3)
            line = _margin(np.linspace(*_LID, 2 * _ROOT_PIECES + 1), sign, rise)
            places.append(line[pieces])
            lift.append(np.tile([0.0, 0.0, 0.030], (_ROOT_PIECES, 3, 1)))
            thick = np.interp(pieces, [0, _ROOT_PIECES, 2 * _ROOT_PIECES], [0.35, 1.0, 0.8])
            widths.append((0.018 if rise < 0 else 0.010) * thick)
            opacity.append(np.full(_ROOT_PIECES, dark * min(0.8 * strength, 0.95)))
    place = np.concatenate(places)
    return FaceHairs(
        base.front.weights(place[:, :, 0].ravel(), place[:, :, 1].ravel()),
        np.concatenate(lift).reshape(-1, 3).astype(np.float32),
        3,
        np.broadcast_to(colour, (*place.shape[:2], 3)).astype(np.float32),
        np.concatenate(widths).astype(np.float32),
        np.concatenate(opacity).astype(np.float32),
    )


def _margin(x: Array, sign: int, rise: float) -> Array:
    """Places (N, 2) on the edge of the upper lid, or of the lower one when `rise` is positive."""
    return np.stack([sign * x, lid_lower(x) if rise > 0 else lid_upper(x)], 1)


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
    off = vertices[:, :2] - eyes[1][:2] - [0.02, 0.05]  # the cheek under the rim
    under = (np.abs(off[:, 0]) < frame.half_width) & (off[:, 1] > 0)
    under &= off[:, 1] < frame.half_height + 0.02
    cheek = float(vertices[under, 2].max()) + 0.10
    front = max(float(nose[2]), float(vertices[base.eyes[0], 2].max()) + 0.16, cheek) + 0.02
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
