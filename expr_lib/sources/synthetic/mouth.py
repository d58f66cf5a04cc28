"""The inside of the mouth: teeth fixed to the skull, lower teeth and tongue to the jaw."""

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from expr_lib.sources.synthetic.camera import PIVOT, Camera
from expr_lib.sources.synthetic.canonical import Array
from expr_lib.sources.synthetic.meshes import tensor
from expr_lib.sources.synthetic.person import Person
from expr_lib.sources.synthetic.surface import Surface
from expr_lib.sources.synthetic.template import MOUTH, template

_BEHIND_LIPS = 0.10
_TEETH = (0.62, 0.55, 0.44)
_LOWER_TEETH = (0.50, 0.44, 0.36)
_CAVITY = (0.075, 0.020, 0.018)
_TONGUE = (0.16, 0.05, 0.045)
_GAPS = (0.0, 0.085, 0.155, 0.225, 0.285, 0.34)
"""Distances of the gaps between the teeth from the midline."""
_CHIN, _UPPER_LIP = 8, 62


def draw_mouth(surface: Surface, person: Person, camera: Camera, marks: Array) -> None:
    """Fill the opening between the lips, in place.

    marks  (68 or more, 3) landmarks of the moved head, eye distances
    """
    pixels = (surface.material == MOUTH).nonzero()[:, 0]
    if not len(pixels):
        return
    at_rest = person.vertices[template().grid :]
    place = _back_project(surface, camera, pixels, marks[_UPPER_LIP])
    x, y = place[:, 0] - at_rest[_UPPER_LIP, 0], place[:, 1] - at_rest[_UPPER_LIP, 1]
    jaw_drop = max(0.0, float(marks[_CHIN, 1] - at_rest[_CHIN, 1]))
    surface.albedo[pixels] = _colours(x, y, y - jaw_drop * 0.92, 1.0 / camera.unit)
    rounded = torch.stack([x * 1.3, 0 * x, torch.ones_like(x)], 1) @ camera.turn_tensor.T
    surface.normal[pixels] = functional.normalize(rounded, dim=1)


def _back_project(surface: Surface, camera: Camera, pixels: Tensor, lip: Array) -> Tensor:
    """Head coordinates (N, 2) at which the pixels' rays meet the plane of the teeth."""
    on_teeth = np.array([lip[0], lip[1], lip[2] - _BEHIND_LIPS])
    _, scale = camera.project(tensor(on_teeth)[None])
    seen = torch.stack([surface.x[pixels], surface.y[pixels]], 1)
    seen = (seen - camera.middle + 0.5) / scale
    depth = on_teeth[2] - PIVOT[2]
    inverse = tensor(np.linalg.inv(camera.turn[:2, :2]))
    return (seen - tensor(camera.turn[:2, 2] * depth)) @ inverse.T + tensor(PIVOT[:2])


def _colours(x: Tensor, y: Tensor, jaw_y: Tensor, pixel_size: float) -> Tensor:
    """Albedo (N, 3) at places on the plane of the teeth; `jaw_y` is y in the frame of the jaw."""
    ax, arch = x.abs(), (x / 0.30) ** 2
    upper = ((0.058 - 0.09 * arch - y) / (1.2 * pixel_size) + 0.5).clamp(0, 1)
    upper = (upper * ((0.36 - ax) / 0.06).clamp(0, 1))[:, None]
    lower = ((jaw_y - (0.070 + 0.04 * arch)) / (1.5 * pixel_size) + 0.5).clamp(0, 1)
    lower = (0.9 * lower * ((0.30 - ax) / 0.06).clamp(0, 1))[:, None]
    gap = torch.zeros_like(x)
    for distance in _GAPS:
        gap = torch.maximum(gap, torch.exp(-(((ax - distance) / 0.009) ** 2)))
    shade = ((1 - 0.55 * (x / 0.36) ** 2).clamp(0.1, 1) * (1 - 0.35 * gap))[:, None]
    tongue = torch.exp(-((x / 0.24) ** 2)) * ((jaw_y + 0.06) / 0.12).clamp(0, 1)
    colour = tensor(_CAVITY) + tongue[:, None] * tensor(_TONGUE)
    colour = colour * (1 - lower) + lower * tensor(_LOWER_TEETH) * shade * 0.8
    return colour * (1 - upper) + upper * tensor(_TEETH) * shade
