"""What makes heads differ: traits drawn from a seed, and how they bend the average head."""

import numpy as np

from expr_lib.sources.synthetic.canonical import (
    EYE_CENTRE,
    SLIT,
    Array,
    bump,
    bump_pair,
    half_width,
    ridge,
    smoothstep,
)
from expr_lib.sources.synthetic.geometry import nose_height
from expr_lib.sources.synthetic.template import Template

Traits = dict[str, float]

# name: (standard deviation, shift of men (women: minus), shift with dark skin);
# the shifts are weak, and invented
_TRAITS = {
    "width": (0.042, 0.004, 0),
    "height": (0.065, 0.012, 0),
    "jaw": (0.055, 0.015, 0),
    "chin_length": (0.065, 0.02, 0),
    "chin_width": (0.09, 0.03, 0),
    "forehead": (0.08, 0, 0),
    "temple": (0.045, 0, 0),
    "cheek_bone": (0.045, 0, 0),
    "square": (0.040, 0.014, 0),
    "eye_distance": (0.034, 0, 0),
    "eye_size": (0.10, -0.02, 0),
    "eye_opening": (0.17, -0.03, 0),
    "eye_tilt": (0.075, -0.015, 0),
    "eye_height": (0.03, 0, 0),
    "eye_depth": (0.05, 0, 0),
    "lid_hood": (0.022, 0, 0),
    "brow_height": (0.036, 0.014, 0),
    "brow_tilt": (0.035, 0.008, 0),
    "brow_arch": (0.024, -0.004, 0),
    "brow_depth": (0.035, 0.025, 0),
    "brow_distance": (0.03, 0, 0),
    "nose_length": (0.08, 0.01, 0),
    "nose_width": (0.17, 0.04, 0.16),
    "nose_depth": (0.13, 0.05, -0.12),
    "nose_tip": (0.045, 0, 0),
    "tip_width": (0.16, 0, 0),
    "hump": (0.024, 0.005, 0),
    "bridge_width": (0.22, 0.05, 0),
    "mouth_width": (0.10, 0.02, 0),
    "mouth_height": (0.045, 0, 0),
    "upper_lip": (0.24, -0.06, 0.30),
    "lower_lip": (0.24, -0.05, 0.25),
    "mouth_tilt": (0.020, 0, 0),
    "lip_depth": (0.04, 0, 0.03),
    "cheek": (0.05, -0.006, 0),
    "fullness": (0.050, 0, 0),
}
_BROW_OFFSET = 0.010


def draw_traits(rng: np.random.Generator, male: bool, tone: float) -> Traits:
    """Draw a head's traits, each a normal number cut off at 2.2 deviations.

    tone  0 light skin .. 1 dark
    """
    sex = 1.0 if male else -1.0
    traits = {}
    for name, (deviation, male_shift, dark_shift) in _TRAITS.items():
        drawn = float(np.clip(rng.standard_normal(), -2.2, 2.2)) * deviation
        traits[name] = drawn + male_shift * sex + dark_shift * (tone - 0.4)
    traits["brow_height"] += _BROW_OFFSET
    return traits


def shape_head(template: Template, traits: Traits, rng: np.random.Generator) -> Array:
    """Bend the average head into a person's neutral one.

    rng      draws the asymmetry, a few broad bumps
    returns  (V, 3) eye distances, the template's vertices
    """
    x, y, front = template.x, template.y, template.front
    moved = template.points.copy()
    for part in (_eyes, _brows, _nose, _mouth, _cheeks):
        moved += np.stack(part(x, y, front, traits), -1)
    for _ in range(16):
        cx, cy = rng.uniform(-1, 1), rng.uniform(-0.6, 1.7)
        shift = rng.standard_normal(3) * [0.008, 0.008, 0.018]
        moved += (bump(x, y, cx, cy, 0.38, 0.34) * front)[:, None] * shift
    _proportions(moved, x, y, traits)
    return moved


Shift = tuple[Array, Array, Array]


def _eyes(x: Array, y: Array, front: Array, t: Traits) -> Shift:
    sign = np.sign(x)
    from_centre_x, from_centre_y = np.abs(x) - EYE_CENTRE[0], y - EYE_CENTRE[1]
    eye = bump_pair(x, y, *EYE_CENTRE, 0.30, 0.20)
    lids = bump_pair(x, y, *EYE_CENTRE, 0.30, 0.14)
    apart = t["eye_distance"] * bump_pair(x, y, 0.5, -0.1, 0.42, 0.42)
    dx = sign * (apart + eye * t["eye_size"] * from_centre_x)
    dy = eye * (t["eye_size"] * from_centre_y - t["eye_tilt"] * from_centre_x + t["eye_height"])
    dy = dy + lids * t["eye_opening"] * from_centre_y
    dz = t["eye_depth"] * bump_pair(x, y, 0.48, -0.03, 0.26, 0.15)
    dz = dz + t["lid_hood"] * bump_pair(x, y, 0.55, -0.17, 0.22, 0.06)
    return dx * front, dy * front, dz * front


def _brows(x: Array, y: Array, front: Array, t: Traits) -> Shift:
    brow = bump_pair(x, y, 0.55, -0.36, 0.42, 0.22)
    dx = np.sign(x) * t["brow_distance"] * bump_pair(x, y, 0.22, -0.34, 0.18, 0.14)
    dy = brow * (t["brow_height"] - t["brow_tilt"] * (np.abs(x) - 0.55))
    dy = dy - t["brow_arch"] * bump_pair(x, y, 0.68, -0.37, 0.2, 0.15)
    dz = t["brow_depth"] * bump_pair(x, y, 0.45, -0.33, 0.35, 0.12) * front
    dz = dz + t["brow_depth"] * 0.5 * bump(x, y, 0, -0.3, 0.2, 0.15)
    return dx * front, dy * front, dz


def _nose(x: Array, y: Array, front: Array, t: Traits) -> Shift:
    dx = t["nose_width"] * bump_pair(x, y, 0.12, 0.58, 0.22, 0.16)
    dx = dx + t["bridge_width"] * bump(x, y, 0, 0.15, 0.25, 0.25)
    dx = dx + t["tip_width"] * bump(x, y, 0, 0.47, 0.16, 0.14)
    longer = t["nose_length"] * smoothstep(-0.2, 0.6, y) * bump(x, y, 0, 0.5, 0.45, 0.42)
    dy = longer * front + t["nose_tip"] * bump(x, y, 0, 0.50, 0.13, 0.12)
    dz = nose_height(x, y) * front * t["nose_depth"]
    dz = dz + t["hump"] * bump(x, y, 0, 0.16, 0.09, 0.12) * 1.2
    return x * dx * front, dy, dz


def _mouth(x: Array, y: Array, front: Array, t: Traits) -> Shift:
    from_slit = y - SLIT
    upper = t["upper_lip"] * ridge(y, SLIT, 0.16)
    lower = t["lower_lip"] * ridge(y, SLIT, 0.19)
    lips = smoothstep(0.45, 0.2, np.abs(x))
    dx = x * t["mouth_width"] * bump_pair(x, y, 0.22, SLIT, 0.40, 0.24)
    lowered = t["mouth_height"] + 0.35 * t["nose_length"]
    dy = lowered * bump(x, y, 0, SLIT, 0.62, 0.30)
    dy = dy + lips * from_slit * np.where(from_slit < 0, upper, lower)
    dy = dy - t["mouth_tilt"] * bump_pair(x, y, 0.40, SLIT, 0.16, 0.16)
    full = t["upper_lip"] * ridge(y, 0.98, 0.06) + t["lower_lip"] * ridge(y, 1.13, 0.07)
    dz = lips * 0.06 * full + t["lip_depth"] * bump(x, y, 0, SLIT, 0.40, 0.26)
    return dx * front, dy * front, dz * front


def _cheeks(x: Array, y: Array, front: Array, t: Traits) -> Shift:
    sign = np.sign(x)
    wide = t["cheek_bone"] * bump_pair(x, y, 1.0, 0.30, 0.45, 0.30)
    wide = wide + t["temple"] * bump_pair(x, y, 1.05, -0.55, 0.5, 0.45)
    wide = wide + t["square"] * bump_pair(x, y, 0.85, 1.30, 0.40, 0.25)
    full = t["fullness"] * 0.6 * bump_pair(x, y, 0.95, 0.95, 0.35, 0.35)
    dz = t["cheek"] * bump_pair(x, y, 0.75, 0.38, 0.28, 0.24)
    dz = dz + t["fullness"] * bump_pair(x, y, 0.7, 0.95, 0.28, 0.32)
    return sign * (wide * front + full), 0 * x, dz * front


def _proportions(points: Array, x: Array, y: Array, t: Traits) -> None:
    ax = np.abs(x)
    from_middle = ax / np.maximum(half_width(y), 0.05)
    points[:, 0] *= (
        1
        + t["width"] * smoothstep(0.2, 1.0, ax)
        + t["jaw"] * smoothstep(0.45, 1.25, y) * smoothstep(0.25, 0.9, from_middle)
        + t["chin_width"] * smoothstep(1.3, 1.7, y)
    )
    points[:, 1] += t["height"] * np.clip(points[:, 1], 0, None) * smoothstep(0.0, 1.0, y)
    points[:, 1] += t["chin_length"] * smoothstep(1.15, 1.75, y)
    points[:, 1] += t["forehead"] * np.clip(points[:, 1] + 0.5, None, 0)
