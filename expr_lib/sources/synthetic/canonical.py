"""Canonical face coordinates: places on the average head, where features and brushes are formulas.

One unit is the distance between the two eye centres; x points to the image's right, y down, z
to the viewer, and the origin lies midway between the eyes. A point of the skin keeps its canonical
coordinates whoever wears the face and whatever it expresses.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from expr_lib.points import MIRROR

Array = npt.NDArray[Any]

SLIT = 1.056
"""Height of the line between the closed lips."""
AXIS_Z = -1.1
"""Depth of the vertical axis around which angles are counted."""
TOP, BOTTOM = -2.15, 2.85
"""Heights between which the skin is painted."""


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


def angle_around(points: Array) -> Array:
    """Angle around the head, radians, 0 in the middle of the face, of canonical points (..., 3)."""
    return np.arctan2(points[..., 0], points[..., 2] - AXIS_Z)


_LID_X = [0.27, 0.30, 0.35, 0.42, 0.50, 0.55, 0.60, 0.66, 0.70, 0.72, 0.76]
lid_upper = PchipInterpolator(
    _LID_X, [0.05, 0.03, 0.0, -0.03, -0.045, -0.047, -0.042, -0.022, 0.0, 0.012, 0.02]
)
"""Height of the upper lid's margin at a distance from the midline."""
lid_lower = PchipInterpolator(
    _LID_X, [0.05, 0.04, 0.065, 0.081, 0.087, 0.088, 0.085, 0.066, 0.04, 0.025, 0.02]
)
"""The same of the lower lid."""

_BROW = PchipInterpolator(
    [0.14, 0.22, 0.39, 0.60, 0.80, 0.95], [-0.235, -0.252, -0.287, -0.312, -0.278, -0.195]
)


def brow_centre(ax: Array) -> Array:
    """Height of the middle of the eyebrow at the distance `ax` from the midline."""
    return _BROW(np.clip(ax, 0.14, 0.97))


# the mesh's mean head has a longer nose and a shorter chin than the faces of the London set
_HEIGHTS = PchipInterpolator(
    [-9, -2.3, -0.5, 0.0, 0.56, 0.78, 1.157, 1.35, 1.84, 2.3, 9],
    [-8.9, -2.2, -0.47, 0.0, 0.50, 0.702, SLIT, 1.245, 1.865, 2.33, 9.03],
)


def corrected_heights(y: Array) -> Array:
    """Heights of the mesh's mean head moved to those of real faces."""
    return _HEIGHTS(y)


def closing_of_lips(x: Array, y: Array, z: Array) -> Array:
    """Shift along y that lets the mesh's parted lips touch."""
    near = ridge(y, SLIT, 0.045) * smoothstep(0.42, 0.34, np.abs(x)) * (z > -0.15)
    return near * np.where(y < SLIT, 0.008, -0.009)


_PLACES = {
    8: (0, 1.9), 9: (0.278, 1.86), 10: (0.545, 1.69), 11: (0.772, 1.43), 12: (0.935, 1.16),
    13: (1.05, 0.853), 14: (1.12, 0.568), 15: (1.162, 0.293), 16: (1.171, 0.02),
    22: (0.177, -0.264), 23: (0.378, -0.341), 24: (0.583, -0.362), 25: (0.786, -0.324),
    26: (0.944, -0.187), 27: (0, -0.052), 28: (0, 0.142), 29: (0, 0.32), 30: (0, 0.516),
    33: (0, 0.733), 34: (0.092, 0.7), 35: (0.195, 0.693), 51: (0, 0.924), 52: (0.104, 0.888),
    53: (0.23, 0.952), 54: (0.364, 1.07), 55: (0.243, 1.191), 56: (0.11, 1.252), 57: (0, 1.27),
    62: (0, 1.049), 63: (0.096, 1.041), 64: (0.311, 1.057), 65: (0.101, 1.059), 66: (0, 1.069),
}  # fmt: skip
"""Landmarks of the face's right half where annotators, and dlib, put them on the average head."""
_EYE_PLACES = {
    42: (0.309, 1.0), 43: (0.431, 0.17), 44: (0.561, 0.14), 45: (0.690, 0.58), 46: (0.571, 0.88),
    47: (0.439, 0.94),
}  # fmt: skip
"""The same of the eye: x, and where between the upper and the lower lid (0..1)."""
_BESIDE_OPENING = 0.006


def landmark_places() -> tuple[Array, Array, Array]:
    """Where the iBUG landmarks are on the average head.

    returns  (68, 2) first places, (68, 2) second places, (68,) share of the second; each landmark
             lies between two points of the skin, most of which are the same
    """
    first, share = np.zeros((68, 2)), np.zeros(68)
    second = first.copy()
    for index, place in _PLACES.items():
        first[index] = second[index] = place
    for index, (x, between) in _EYE_PLACES.items():
        first[index] = x, lid_upper(x) - _BESIDE_OPENING
        second[index] = x, lid_lower(x) + _BESIDE_OPENING
        share[index] = between
    for index in (*_PLACES, *_EYE_PLACES):
        other = MIRROR[index]
        if other != index:
            first[other], second[other] = first[index] * [-1, 1], second[index] * [-1, 1]
            share[other] = share[index]
    return first, second, share
