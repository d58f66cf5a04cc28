"""One drawn photo: person, expression, view and light become a picture with true landmarks."""

import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from expr_lib.errors import BadSetting
from expr_lib.sources.synthetic.camera import Camera
from expr_lib.sources.synthetic.canonical import Array
from expr_lib.sources.synthetic.eyes import draw_eyes
from expr_lib.sources.synthetic.meshes import build_scene, move_head, tensor
from expr_lib.sources.synthetic.mouth import draw_mouth
from expr_lib.sources.synthetic.person import Light, Person
from expr_lib.sources.synthetic.shading import light_direction, shade
from expr_lib.sources.synthetic.surface import see
from expr_lib.sources.synthetic.template import template
from expr_lib.sources.synthetic.units import EYES_DOWN
from expr_lib.sources.synthetic.wrinkles import fold_depth

SMALLEST = 64
"""Smallest picture, pixels."""
_EYES_DOWN_DEGREES = 14
_GRAIN = 0.006


@dataclass(frozen=True)
class Rendered:
    """A drawn photo.

    image      (size, size, 3) uint8 RGB, C-contiguous
    landmarks  (68, 2) float32 pixels, iBUG order, true by construction
    mask       (size, size) float32 in 0..1, 1 where the person is
    """

    image: Array
    landmarks: Array
    mask: Array


@contextmanager
def one_thread() -> Iterator[None]:
    """Work with one torch thread: the same bytes whatever the caller's setting."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def render(
    person: Person,
    units: Mapping[str, float],
    *,
    size: int = 256,
    yaw: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
    gaze: tuple[float, float] = (0.0, 0.0),
    light: Light | None = None,
    supersampling: float = 2.0,
) -> Rendered:
    """Draw one photo; the same arguments give the same bytes on one machine.

    units             FACS action unit -> weight, as `expression_units` gives
    size              side of the picture, pixels, at least 64
    yaw, pitch, roll  the head's, degrees; good for yaw up to 45
    gaze              yaw and pitch of the eyes in the head, degrees
    light             None is the person's own
    supersampling     pixels drawn for each one of the picture, along a side: 1 (fast, jagged) to 4
    raises            BadSetting when a unit is unknown or a size is out of range
    """
    _check(units, size, supersampling)
    light = light or person.light
    with one_thread(), torch.inference_mode():
        activity = {u: w * person.style[u] for u, w in units.items() if u != EYES_DOWN}
        vertices = move_head(person, activity)
        marks = vertices[template().grid :]
        camera = Camera(round(size * supersampling), yaw, pitch, roll)
        folds = fold_depth(person.folds_at_rest, person.fold_gain, activity)
        surface = see(person, build_scene(person, vertices), camera, folds)
        down = _EYES_DOWN_DEGREES * units.get(EYES_DOWN, 0.0)
        draw_eyes(surface, person, camera, (gaze[0], gaze[1] + down))
        draw_mouth(surface, person, camera, marks)
        colours = shade(surface, person, camera, light, size)
        picture = _backdrop(person, light, camera.size)
        picture[surface.pixel] = colours
        covered = torch.zeros(camera.size**2, 1)
        covered[surface.pixel] = 1
        settings = repr((person.seed, sorted(units.items()), size, yaw, pitch, roll, gaze))
        image = _develop(_reduce(picture, size), light, zlib.crc32(settings.encode()))
        scale = camera.size / size
        landmarks = (camera.landmarks(tensor(marks)) + 0.5) / scale - 0.5
        mask = _reduce(covered, size)[0]
        return Rendered(image, landmarks.numpy(), mask.numpy())


def _check(units: Mapping[str, float], size: int, supersampling: float) -> None:
    known = {*template().fields, EYES_DOWN}
    unknown = sorted(set(units) - known)
    if unknown:
        raise BadSetting(
            f"unknown action unit {unknown[0]!r}; choose among {', '.join(sorted(known))}"
        )
    if not all(math.isfinite(weight) for weight in units.values()):
        raise BadSetting("the weight of an action unit is not finite; give numbers of about 0 to 1")
    if size < SMALLEST:
        raise BadSetting(f"size {size} is too small to draw a face; ask for {SMALLEST} or more")
    if not 1 <= supersampling <= 4:
        raise BadSetting(f"supersampling {supersampling} is out of range; choose 1 to 4")


def _backdrop(person: Person, light: Light, side: int) -> Tensor:
    """A plain wall (side * side, 3), linear RGB, lighter behind the head and by the light."""
    line = torch.linspace(-1, 1, side)
    y, x = line[:, None], line[None]
    towards = float(light_direction(light)[0])
    brightness = 1.1 - 0.22 * (x**2 + y**2) - 0.10 * x * towards - 0.06 * y
    return (brightness[..., None] * tensor(person.background)).reshape(-1, 3)


def _reduce(picture: Tensor, size: int) -> Tensor:
    """Reduce (side * side, C) to (C, size, size)."""
    side = round(math.sqrt(len(picture)))
    image = picture.view(1, side, side, -1).permute(0, 3, 1, 2)
    if side % size == 0:
        return functional.avg_pool2d(image, side // size)[0]
    return functional.interpolate(image, size=(size, size), mode="bilinear", antialias=True)[0]


def _develop(image: Tensor, light: Light, grain_seed: int) -> Array:
    """Linear (3, H, W) to uint8 (H, W, 3): exposure, a soft shoulder, sRGB, a little grain."""
    image = (image * light.exposure).clamp(min=0)
    image = image / (1 + 0.18 * image) * 1.10
    curve = 1.055 * image.clamp(min=1e-6) ** (1 / 2.4) - 0.055
    image = torch.where(image <= 0.0031308, image * 12.92, curve)
    generator = torch.Generator().manual_seed(grain_seed)
    image = image + _GRAIN * torch.randn(image.shape, generator=generator)
    levels = (image.permute(1, 2, 0).clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    return np.ascontiguousarray(levels.numpy())
