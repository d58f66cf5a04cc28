"""Canonical face coordinates: the frontal plane of the average face; features are formulas in it.

One unit is the distance between the two eye centres; x points to the image's right, y down, and
the origin lies midway between the eyes. A point keeps its canonical coordinates whoever wears the
face and whatever it expresses, so a feature, a movement or a brush stroke is written once, for all.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

Array = npt.NDArray[Any]

SLIT = 1.056
"""Height of the line between the closed lips."""
MOUTH_HALF_WIDTH = 0.375
"""Half the width over which the lips can part."""
EYE_CENTRE = (0.494, -0.004)
"""Centre of the eye on the image's right."""
TOP, BOTTOM = -1.88, 1.822
"""Crown of the head and lowest point of the chin."""
EYE_INNER, EYE_OUTER = 0.290, 0.697
"""Inner and outer corner of the eye."""
JAW_CANDIDATES = 24
"""Points tried at the height of each jaw landmark when the head is turned."""


def smoothstep(start: float, stop: float, x: Array) -> Array:
    """Rise smoothly from 0 at `start` to 1 at `stop` (falls when `stop` is smaller)."""
    t = np.clip((x - start) / (stop - start), 0, 1)
    return t * t * (3 - 2 * t)


def bump(x: Array, y: Array, cx: float, cy: float, sx: float, sy: float) -> Array:
    """A Gaussian bump of height 1 at (cx, cy) that falls to 1/e at the distances sx and sy."""
    return np.exp(-(((x - cx) / sx) ** 2) - ((y - cy) / sy) ** 2)


def bump_pair(x: Array, y: Array, cx: float, cy: float, sx: float, sy: float) -> Array:
    """The same bump on both halves of the face."""
    return bump(np.abs(x), y, cx, cy, sx, sy)


def ridge(y: Array, centre: Array | float, width: float) -> Array:
    """A Gaussian ridge of height 1 along the line y = centre."""
    return np.exp(-(((y - centre) / width) ** 2))


_HALF_WIDTH_SQUARED = PchipInterpolator(
    [-0.60, -0.25, 0.08, 0.38, 0.667, 0.956, 1.23, 1.462, 1.647, 1.76, BOTTOM],
    np.array([1.185, 1.17, 1.155, 1.13, 1.075, 0.99, 0.878, 0.715, 0.515, 0.325, 0]) ** 2,
)


def half_width(y: Array) -> Array:
    """Half the width of the average head at height y: its frontal outline."""
    crown = 1 - np.clip((-0.60 - y) / (-0.60 - TOP), 0, 1) ** 2.2
    below = np.clip(_HALF_WIDTH_SQUARED(np.clip(y, -0.60, BOTTOM)), 0, None)
    return np.where(y < -0.60, 1.185 * crown ** (1 / 2.2), np.sqrt(below))


def angle_of(x: Array, y: Array) -> Array:
    """Angle around the head, in radians (0 is the middle of the face), of a frontal point."""
    return np.arcsin(np.clip(x / np.maximum(half_width(y), 1e-6), -1, 1))


def lid_curves(ax: Array) -> tuple[Array, Array]:
    """Heights of the upper and lower lid margins at the distance `ax` from the midline."""
    t = np.clip((ax - EYE_INNER) / (EYE_OUTER - EYE_INNER), 0, 1)
    base = 0.024 - 0.016 * t
    upper = base - 0.122 * np.clip(np.sin(np.pi * t**0.86), 0, 1) ** 0.72
    lower = base + 0.054 * np.clip(np.sin(np.pi * t**1.12), 0, 1) ** 0.75
    return upper, lower


_BROW = PchipInterpolator(
    [0.189, 0.39, 0.60, 0.803, 0.938], [-0.300, -0.372, -0.395, -0.340, -0.205]
)


def brow_centre(ax: Array) -> Array:
    """Height of the middle of the eyebrow at the distance `ax` from the midline."""
    return _BROW(np.clip(ax, 0.15, 0.96)) + 0.046


lip_top = PchipInterpolator(
    [0, 0.05, 0.104, 0.247, 0.36, 0.401], [0.948, 0.934, 0.926, 0.978, 1.045, 1.072]
)
"""Height of the upper lip's border at a distance from the midline."""
lip_bottom = PchipInterpolator([0, 0.113, 0.252, 0.35, 0.401], [1.208, 1.200, 1.160, 1.105, 1.072])
"""Height of the lower lip's border at a distance from the midline."""


def landmark_points() -> Array:
    """Canonical places of the 68 iBUG landmarks, put where annotators (and dlib) see them.

    returns  (68, 3)  x, y, and -1 on the upper lip, +1 on the lower, 0 elsewhere
    """
    points = np.zeros((68, 3))
    jaw = [-0.045, 0.255, 0.55, 0.845, 1.13, 1.388, 1.60, 1.752]
    points[:17, 1] = [*jaw, BOTTOM - 1e-4, *jaw[::-1]]
    side = np.r_[-np.ones(8), 0, np.ones(8)]
    points[:17, 0] = half_width(points[:17, 1]) * 0.985 * side  # just inside the silhouette
    points[[7, 9], 0] = -0.299, 0.299
    brow_x = np.array([0.182, 0.365, 0.56, 0.755, 0.895])
    points[22:27, 0], points[22:27, 1] = brow_x, _BROW(brow_x)
    points[17:22] = points[22:27][::-1] * [-1, 1, 1]
    points[27:31, 1] = [-0.060, 0.125, 0.315, 0.500]
    points[31:36, 0] = [-0.201, -0.105, 0, 0.105, 0.201]
    points[31:36, 1] = [0.660, 0.688, 0.708, 0.688, 0.660]
    eye_x = np.array([0.298, 0.415, 0.556, 0.672, 0.556, 0.415])
    upper, lower = lid_curves(eye_x)
    points[42:48, 0] = eye_x
    points[42:48, 1] = np.r_[upper[0] + 0.001, upper[1:4], lower[4:]]
    points[36:42] = (points[42:48] * [-1, 1, 1])[[3, 2, 1, 0, 5, 4]]
    _place_mouth(points)
    return points


def _place_mouth(points: Array) -> None:
    outer_upper, outer_lower = slice(48, 55), slice(55, 60)
    x = np.array([-0.388, -0.247, -0.104, 0, 0.104, 0.247, 0.388])
    points[outer_upper, 0] = x
    points[outer_upper, 1] = lip_top(np.abs(x)) + 0.020 * (np.abs(x) < 0.3)
    points[outer_upper, 2] = -1
    points[outer_lower, 0] = [0.252, 0.113, 0, -0.113, -0.252]
    points[outer_lower, 1] = lip_bottom(np.abs(points[outer_lower, 0]))
    points[outer_lower, 2] = 1
    points[60:68, 0] = [-0.335, -0.107, 0, 0.107, 0.335, 0.107, 0, -0.107]
    points[60:68, 1] = SLIT
    points[60:65, 2], points[65:68, 2] = -1, 1


def jaw_candidates(landmarks: Array) -> tuple[Array, Array]:
    """Places at each jaw landmark's height, among which a turned head finds its outline.

    landmarks  (68, 3)  from `landmark_points`
    returns    (17 * JAW_CANDIDATES,) angles in radians, and as many points like `landmarks`
    """
    sweep = np.linspace(np.deg2rad(100), np.deg2rad(12), JAW_CANDIDATES)
    signs = np.sign(landmarks[:17, 0] + (np.arange(17) > 8) * 1e-9)
    angles = (signs[:, None] * sweep).ravel()
    y = np.repeat(landmarks[:17, 1], JAW_CANDIDATES)
    lip_side = np.where(y > SLIT, 1.0, -1.0)
    return angles, np.stack([half_width(y) * np.sin(angles), y, lip_side], -1)
