"""The average neutral head: sections lofted along y, with the features as bumps on the front."""

import numpy as np
from scipy.interpolate import PchipInterpolator

from expr_lib.sources.synthetic.canonical import (
    BOTTOM,
    SLIT,
    TOP,
    Array,
    bump,
    bump_pair,
    half_width,
    ridge,
    smoothstep,
)

_FRONT_DEPTH = PchipInterpolator(
    [TOP, -1.80, -1.6, -1.35, -1.1, -0.8, -0.45, -0.1, 0.3, 0.7, 1.0, 1.3, 1.55, 1.72, BOTTOM],
    [-1.20, -0.80, -0.42, -0.17, -0.02, 0.10, 0.17, 0.13, 0.13, 0.22, 0.26, 0.20, 0.23, 0.17, 0.02],
)
_SIDE_DEPTH = PchipInterpolator(
    [TOP, -1, 0.4, 0.956, 1.23, 1.462, 1.647, BOTTOM],
    [-1.2, -1.1, -1.0, -0.82, -0.60, -0.35, -0.2, -0.12],
)
_BACK_DEPTH = PchipInterpolator(
    [TOP, -1.7, -1.2, -0.5, 0.2, 0.7, 1.0, 1.3, 1.6, BOTTOM],
    [-1.3, -2.1, -2.65, -2.85, -2.6, -2.1, -1.5, -1.05, -0.75, -0.5],
)
_ROUNDNESS = PchipInterpolator(
    [TOP, -0.6, 0, 0.7, 1.2, 1.6, BOTTOM], [1.0, 0.94, 0.88, 0.88, 0.92, 0.98, 1.0]
)
_NOSE_HEIGHT = PchipInterpolator(
    [-0.30, -0.10, 0.11, 0.285, 0.40, 0.47, 0.53, 0.60, 0.665, 0.70, 0.74],
    [0.0, 0.060, 0.160, 0.262, 0.330, 0.352, 0.332, 0.235, 0.092, 0.02, 0],
)
_NOSE_WIDTH = PchipInterpolator(
    [-0.3, -0.05, 0.2, 0.40, 0.5, 0.74], [0.15, 0.125, 0.155, 0.180, 0.19, 0.20]
)

# centre x, centre y, width x, width y, height; mirrored onto both halves of the face
_PAIRED_FEATURES = (
    (0.42, -0.06, 0.26, 0.17, -0.165),  # orbit
    (0.255, -0.06, 0.09, 0.15, -0.055),  # inner corner, beside the bridge
    (0.50, 0.0, 0.20, 0.105, 0.095),  # globe under the lids
    (0.52, -0.34, 0.30, 0.10, 0.045),  # brow ridge
    (0.74, 0.40, 0.26, 0.22, 0.085),  # cheek bone
    (0.42, 0.60, 0.16, 0.20, 0.04),  # beside the wing of the nose
    (0.72, 1.0, 0.20, 0.26, -0.050),  # hollow of the cheek
    (0.44, 1.07, 0.06, 0.09, -0.045),  # corners of the mouth
    (0.95, -0.55, 0.22, 0.30, -0.03),  # temple
)
_MIDDLE_FEATURES = (
    (0, -0.30, 0.16, 0.12, 0.02),  # between the brows
    (0, 1.03, 0.48, 0.30, 0.050),  # dental arch
    (0, 0.84, 0.05, 0.10, -0.018),  # philtrum
    (0, 1.31, 0.26, 0.075, -0.055),  # fold above the chin
    (0, 1.57, 0.24, 0.15, 0.060),  # chin
)


def nose_height(x: Array, y: Array) -> Array:
    """Height of the nose above the plane of the face at canonical points."""
    ax, along = np.abs(x), np.clip(y, -0.30, 0.74)
    bridge = _NOSE_HEIGHT(along) * np.exp(-(np.abs(x / _NOSE_WIDTH(along)) ** 2.0))
    tip = 0.022 * bump(x, y, 0, 0.49, 0.12, 0.085)
    wings = 0.155 * bump(ax, y, 0.205, 0.570, 0.082, 0.090) * smoothstep(0.71, 0.63, y)
    return bridge + tip + wings


def _relief(x: Array, y: Array) -> Array:
    """Everything that stands out of the lofted sections."""
    depth = nose_height(x, y)
    for cx, cy, sx, sy, height in _PAIRED_FEATURES:
        depth = depth + height * bump_pair(x, y, cx, cy, sx, sy)
    for cx, cy, sx, sy, height in _MIDDLE_FEATURES:
        depth = depth + height * bump(x, y, cx, cy, sx, sy)
    lips = np.clip(1 - (x / 0.43) ** 2, 0, 1) ** 0.7
    depth = depth + lips * (0.045 * ridge(y, 0.985, 0.050) + 0.062 * ridge(y, 1.125, 0.060))
    return depth - 0.055 * lips * ridge(y, SLIT, 0.020)


def head_points(angle: Array, y: Array) -> Array:
    """Points of the average neutral head.

    angle    (...)     around the head, radians, 0 is the middle of the face
    y        (...)     canonical height
    returns  (..., 3)  x, y, z in eye distances, z towards the viewer
    """
    cosine = np.cos(angle)
    x = half_width(y) * np.sin(angle)
    front_z, side_z, back_z = _FRONT_DEPTH(y), _SIDE_DEPTH(y), _BACK_DEPTH(y)
    z = np.where(
        cosine >= 0,
        side_z + (front_z - side_z) * np.abs(cosine) ** _ROUNDNESS(y),
        side_z - (side_z - back_z) * np.abs(cosine) ** 0.9,
    )
    front = smoothstep(0.0, 0.3, cosine)
    ax = np.abs(x)
    # the line between the lips is a wave, not a ruler
    wave = 0.012 * ridge(x, 0, 0.07) - 0.010 * ridge(ax, 0.17, 0.09) + 0.012 * ridge(ax, 0.38, 0.07)
    return np.stack([x, y + wave * ridge(y, SLIT, 0.09) * front, z + front * _relief(x, y)], -1)
