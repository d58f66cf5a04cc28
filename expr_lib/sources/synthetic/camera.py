"""The camera: a turned head seen in perspective, and which landmarks its outline hides."""

import math

import numpy as np
from numba import njit

from expr_lib.sources.synthetic.canonical import Array
from expr_lib.sources.synthetic.head import JAW_CANDIDATES

PIVOT = np.array([0, 0.45, -0.9])
"""Where the head turns, eye distances; it stands in the middle of the picture's width."""
PIVOT_HEIGHT = 0.53
"""How far down the picture it stands, a share of its height; room for hair."""
DISTANCE = 17.0
"""From the camera to the plane of scale 1, which lies 0.9 behind the pivot, eye distances."""
EYE_SHARE = 0.172
"""Eye distance as a share of the picture's width in that plane; at the eyes an eighth more."""
_AHEAD, _PROFILE = 3.0, 45.0
_UPPER_LIP, _LOWER_LIP = [61, 62, 63], [67, 66, 65]
_JAW_SHARES = np.array([0.0, 0.128, 0.253, 0.375, 0.495, 0.619, 0.745, 0.871, 1.0])
"""Mean shares of the outline, from the chin to the ear, of the points of the London set."""


def rotation(yaw: float, pitch: float, roll: float) -> Array:
    """Rotation of the head, angles in degrees: pitch after yaw, then roll."""
    y, p, r = (math.radians(angle) for angle in (yaw, pitch, roll))
    about_y = [[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]]
    about_x = [[1, 0, 0], [0, math.cos(p), math.sin(p)], [0, -math.sin(p), math.cos(p)]]
    about_z = [[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_x) @ np.array(about_y)


@njit(cache=True)
def _turn(points: Array, pivot: Array, turn: Array) -> Array:
    out = np.empty_like(points)
    for n in range(len(points)):
        x, y, z = points[n, 0] - pivot[0], points[n, 1] - pivot[1], points[n, 2] - pivot[2]
        for k in range(3):
            out[n, k] = turn[k, 0] * x + turn[k, 1] * y + turn[k, 2] * z
    return out


@njit(cache=True)
def _project(seen: Array, unit: float, middle_x: float, middle_y: float) -> Array:
    out = np.empty_like(seen)
    for n in range(len(seen)):
        scale = unit * DISTANCE / (DISTANCE - (seen[n, 2] + 0.9))
        out[n, 0] = middle_x + scale * seen[n, 0]
        out[n, 1] = middle_y + scale * seen[n, 1]
        out[n, 2] = seen[n, 2]
    return out


class Camera:
    """Projects head coordinates to a square picture.

    size  side of the picture that is drawn, pixels (before it is reduced)
    unit  pixels of one eye distance in the plane of scale 1
    turn  (3, 3) float32, the head's rotation
    """

    def __init__(self, size: int, yaw: float, pitch: float, roll: float) -> None:
        self.size, self.yaw = size, yaw
        self.unit = EYE_SHARE * size
        self.middle = np.array([0.5, PIVOT_HEIGHT]) * size - 0.5
        self.turn = rotation(yaw, pitch, roll).astype(np.float32)

    def view(self, points: Array) -> Array:
        """Head coordinates (..., 3) seen from the camera: turned about the pivot, float32."""
        flat = np.ascontiguousarray(points, np.float32).reshape(-1, 3)
        return _turn(flat, PIVOT.astype(np.float32), self.turn).reshape(points.shape)

    def project(self, seen: Array) -> Array:
        """Turned points (..., 3) to pixel x, pixel y and depth (larger is nearer), float32."""
        flat = seen.reshape(-1, 3)
        x, y = self.middle
        return _project(flat, float(self.unit), float(x), float(y)).reshape(seen.shape)

    def landmarks(self, places: Array) -> Array:
        """Pixels (68, 2) of the landmarks; the jaw follows the outline that is seen.

        Annotators, and dlib, spread the 17 jaw points evenly along the outline, wherever the skin
        under them may be; so do these. Where the upper lip covers the lower, the inner points of
        both lie on its edge, the seam that is seen.

        places  (68 + 17 * JAW_CANDIDATES, 3) projected landmarks, then each jaw point's candidates
        """
        candidates = places[68:, :2].reshape(17, JAW_CANDIDATES, 2)
        marks = places[:68, :2].copy()
        down = self.turn[:2, 1]
        overlap = np.minimum((marks[_LOWER_LIP] - marks[_UPPER_LIP]) @ down, 0)
        marks[_LOWER_LIP] -= overlap[:, None] * down
        if abs(self.yaw) > _AHEAD:
            self._outline(marks, candidates)
        for half in (np.arange(8, -1, -1), np.arange(8, 17)):
            curve = marks[half]
            lengths = np.r_[0, np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))]
            wanted = _JAW_SHARES * lengths[-1]
            for axis in (0, 1):
                marks[half, axis] = np.interp(wanted, lengths, curve[:, axis])
        return marks

    def _outline(self, marks: Array, candidates: Array) -> None:
        """Move the jaw points of a turned head to its outline, in place."""
        to_left = self.yaw < 0
        far = range(8) if to_left else range(9, 17)
        near = range(9, 17) if to_left else range(8)
        for j in far:  # the outermost point, not the fixed point of the skin
            x = candidates[j, :, 0]
            outermost = int(x.argmin() if to_left else x.argmax())
            if bool(x[outermost] < marks[j, 0]) == to_left:
                marks[j] = candidates[j, outermost]
        share = min(1.0, abs(self.yaw) / _PROFILE)
        for j in near:  # back to the edge of the jaw
            marks[j] += (candidates[j, 3] - marks[j]) * share
