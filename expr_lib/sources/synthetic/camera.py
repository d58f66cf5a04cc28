"""The camera: a turned head seen in perspective, and which landmarks its outline hides."""

import math

import numpy as np
import torch
from torch import Tensor

from expr_lib.sources.synthetic.canonical import JAW_CANDIDATES, Array

PIVOT = np.array([0, 0.45, -0.9])
"""Where the head turns, eye distances; it stands in the middle of the picture's width."""
PIVOT_HEIGHT = 0.53
"""How far down the picture it stands, a share of its height; room for hair."""
DISTANCE = 17.0
"""From the camera to the eyes, eye distances."""
EYE_SHARE = 0.185
"""Eye distance as a share of the picture's width."""


def rotation(yaw: float, pitch: float, roll: float) -> Array:
    """Rotation of the head, angles in degrees: pitch after yaw, then roll."""
    y, p, r = (math.radians(angle) for angle in (yaw, pitch, roll))
    about_y = [[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]]
    about_x = [[1, 0, 0], [0, math.cos(p), math.sin(p)], [0, -math.sin(p), math.cos(p)]]
    about_z = [[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_x) @ np.array(about_y)


class Camera:
    """Projects head coordinates to a square picture.

    size      side of the picture that is drawn, pixels (before it is reduced)
    unit      pixels of one eye distance at the eyes' depth
    turn      (3, 3) the head's rotation; `turn_tensor` the same in float32
    """

    def __init__(self, size: int, yaw: float, pitch: float, roll: float) -> None:
        self.size, self.yaw = size, yaw
        self.unit = EYE_SHARE * size
        self.middle = torch.tensor([0.5, PIVOT_HEIGHT]) * size
        self.turn = rotation(yaw, pitch, roll)
        self.turn_tensor = torch.as_tensor(self.turn, dtype=torch.float32)

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Project points.

        points   (N, 3) in the head's frame, eye distances
        returns  (N, 3) pixel x, pixel y, depth (larger is nearer), and (N,) pixels a unit there
        """
        turned = (points - torch.as_tensor(PIVOT, dtype=torch.float32)) @ self.turn_tensor.T
        scale = self.unit * DISTANCE / (DISTANCE - (turned[:, 2] + 0.9))
        place = self.middle + scale[:, None] * turned[:, :2] - 0.5
        return torch.cat([place, turned[:, 2:]], -1), scale

    def landmarks(self, points: Tensor) -> Tensor:
        """Pixels (68, 2) of the landmarks; a turned head's jaw follows the visible outline.

        points  (68 + 17 * JAW_CANDIDATES, 3) the landmarks, then the candidates of each jaw point
        """
        places, _ = self.project(points)
        candidates = places[68:, :2].view(17, JAW_CANDIDATES, 2)
        places = places[:68, :2].clone()
        if abs(self.yaw) <= 3:
            return places
        to_left = self.yaw < 0
        far, near = (range(8), range(9, 17)) if to_left else (range(9, 17), range(8))
        for j in far:  # the outermost point, not the fixed point of the skin
            x = candidates[j, :, 0]
            outermost = int(x.argmin() if to_left else x.argmax())
            if bool(x[outermost] < places[j, 0]) == to_left:
                places[j] = candidates[j, outermost]
        share = min(1.0, abs(self.yaw) / 45)
        for j in near:  # back to the edge of the jaw
            places[j] += (candidates[j, 3] - places[j]) * share
        return places
