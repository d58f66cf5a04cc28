"""Eyeballs, drawn inside the openings of the lids: white, iris, pupil and the lids' shadow."""

import math

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from expr_lib.sources.synthetic.camera import Camera
from expr_lib.sources.synthetic.meshes import tensor
from expr_lib.sources.synthetic.person import Person
from expr_lib.sources.synthetic.surface import Surface
from expr_lib.sources.synthetic.template import MOUTH, template

_RADIUS = 0.205
_IRIS, _PUPIL = 0.50, 0.19
"""Half the angle, radians, under which iris and pupil are seen from the eye's centre."""
_WHITE = (0.44, 0.40, 0.38)


def draw_eyes(surface: Surface, person: Person, camera: Camera, gaze: tuple[float, float]) -> None:
    """Fill the openings of the lids, in place.

    gaze  yaw and pitch of both eyes in the head, degrees; positive is right in the image, and down
    """
    pixel_size = 1.0 / camera.unit
    seen = (surface.material <= MOUTH) & (surface.eye_depth > -1.5 * pixel_size)
    yaw, pitch = (math.radians(angle) for angle in gaze)
    ahead = [math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)]
    direction = tensor(camera.turn @ np.array(ahead))
    marks = person.vertices[template().grid :]
    for side, corners in ((-1, slice(36, 42)), (1, slice(42, 48))):
        pixels = (seen & (surface.coordinates[:, 0] * side > 0)).nonzero()[:, 0]
        if not len(pixels):
            continue
        centre = marks[corners].mean(0) + np.array([0, -0.008, 0.02 - _RADIUS])
        place, scale = camera.project(tensor(centre)[None])
        offset = torch.stack([surface.x[pixels] - place[0, 0], surface.y[pixels] - place[0, 1]], 1)
        offset = offset / scale / _RADIUS
        depth = torch.sqrt(1 - (offset**2).sum(1).clamp(max=0.98))
        normal = torch.cat([offset, depth[:, None]], 1)
        colour = _eyeball(person, normal, direction, pixel_size / _RADIUS)
        inside = surface.eye_depth[pixels]
        # the lids, above all the upper one, shade the margin of the ball
        colour = colour * (0.30 + 0.70 * (inside / 0.050).clamp(0, 1))[:, None]
        cover = (inside / pixel_size * 0.7 + 0.5).clamp(0, 1)
        surface.eye[pixels] = cover
        cover = cover[:, None]
        surface.albedo[pixels] = surface.albedo[pixels] * (1 - cover) + colour * cover
        mixed = surface.normal[pixels] * (1 - cover) + normal * cover
        surface.normal[pixels] = functional.normalize(mixed, dim=1)


def _eyeball(person: Person, normal: Tensor, gaze: Tensor, pixel_angle: float) -> Tensor:
    """Colour (N, 3) of the eyeball where its normal is (N, 3)."""
    angle = torch.acos((normal @ gaze).clamp(-1, 1))
    around = torch.atan2(normal[:, 1] - gaze[1], normal[:, 0] - gaze[0])
    fibre = tensor(person.iris_pattern)[((around / math.pi + 1) * 31.9).long().clamp(0, 63)]
    outward = angle / _IRIS
    brightness = (0.75 + 0.5 * fibre) * (1.25 - 0.35 * outward)
    brightness = brightness * (1 + 0.6 * torch.exp(-(((outward - 0.55) / 0.18) ** 2)))
    rim = 1 - 0.8 * torch.exp(-(((outward - 1.0) / 0.17) ** 2))
    iris = tensor(person.iris_colour) * (0.8 * brightness * rim)[:, None]
    soft = pixel_angle * 0.8
    in_pupil = ((_PUPIL - angle) / soft + 0.5).clamp(0, 1)[:, None]
    in_iris = ((_IRIS - angle) / (2.2 * soft) + 0.5).clamp(0, 1)[:, None]
    sideways = (normal[:, :1].abs() * 1.1).clamp(0, 1) ** 2
    white = tensor(_WHITE) * (1 - 0.25 * sideways * tensor([0.5, 1.0, 1.0]))
    return white * (1 - in_iris) + in_iris * (iris * (1 - in_pupil) + 0.004 * in_pupil)
