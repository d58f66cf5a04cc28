"""Light on the surfaces: soft shadows, diffuse light, highlights on skin, eyes, teeth and hair."""

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from expr_lib.sources.synthetic.camera import Camera
from expr_lib.sources.synthetic.hair import SHAVED
from expr_lib.sources.synthetic.meshes import tensor
from expr_lib.sources.synthetic.person import Light, Person
from expr_lib.sources.synthetic.surface import Surface
from expr_lib.sources.synthetic.template import MOUTH

_BEHIND = -3.2
"""Depth of the empty background, eye distances."""
_WRAP = (0.34, 0.20, 0.15)
"""How far light creeps around skin, red the farthest."""
_SHADOW_TINT = (0.62, 0.72, 0.76)


def light_direction(light: Light) -> Tensor:
    """Unit vector (3,) towards the key light, in the camera's frame."""
    direction = np.array(light.direction, float)
    return tensor(direction / np.linalg.norm(direction))


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (1, 1, H, W), borders repeated."""
    radius = max(1, int(2.5 * sigma))
    steps = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-((steps / sigma) ** 2) / 2)
    kernel = kernel / kernel.sum()
    image = functional.pad(image, (radius, radius, 0, 0), mode="replicate")
    image = functional.conv2d(image, kernel.view(1, 1, 1, -1))
    image = functional.pad(image, (0, 0, radius, radius), mode="replicate")
    return functional.conv2d(image, kernel.view(1, 1, -1, 1))


def occlusion_and_shadow(
    surface: Surface, camera: Camera, light: Light, size: int
) -> tuple[Tensor, Tensor]:
    """How open to the light around each pixel is (0.25..1.06), and how shadowed (0..1).

    size  side of the finished picture; both are found at half of it, from the depths that are seen
    """
    depth = torch.full((camera.size * camera.size,), _BEHIND)
    depth[surface.pixel] = surface.depth
    depth = depth.view(1, 1, camera.size, camera.size)
    small = functional.interpolate(depth, size=(size // 2, size // 2), mode="area")
    unit = camera.unit * (size // 2) / camera.size
    maps = torch.cat([_openness(small, unit), _shadow(small, unit, light)], 1)
    maps = functional.interpolate(
        maps, size=(camera.size, camera.size), mode="bilinear", align_corners=False
    )
    openness, shadow = maps[0].reshape(2, -1)[:, surface.pixel]
    return openness, shadow


def _openness(depth: Tensor, unit: float) -> Tensor:
    closed = torch.zeros_like(depth)
    for radius, weight in ((0.07, 1.3), (0.16, 0.9), (0.36, 0.55)):
        around = blur(depth.clamp(min=-1.6), max(0.5, radius * unit))
        closed = closed + weight * ((around - depth) / radius / 1.6).clamp(-0.15, 0.8)
    return (1 - 0.55 * closed.clamp(-0.1, 1.2)).clamp(0.25, 1.06)


def _shadow(depth: Tensor, unit: float, light: Light) -> Tensor:
    x, y, z = light_direction(light).tolist()
    side = depth.shape[-1]
    line = torch.linspace(-1, 1, side)
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij")[::-1], -1)[None]
    shadow = torch.zeros_like(depth)
    for step in range(1, 11):  # along the ray to the light: is anything nearer to the camera?
        reach = 0.035 * step**1.35
        moved = grid + tensor([x, y]) * reach * unit * 2 / side
        there = functional.grid_sample(depth, moved, align_corners=True, padding_mode="border")
        above = there - (depth + z * reach) - 0.02
        blocked = (above / (0.05 + 0.10 * reach)).clamp(0, 1) * (above < 0.9)
        shadow = torch.maximum(shadow, blocked)
    return blur(shadow, 0.9)


def shade(surface: Surface, person: Person, camera: Camera, light: Light, size: int) -> Tensor:
    """Light (N, 3), linear RGB, that each pixel sends to the camera."""
    openness, shadow = occlusion_and_shadow(surface, camera, light, size)
    to_key = light_direction(light)
    to_fill = functional.normalize(tensor([-float(to_key[0]) * 1.2, -0.15, 0.8]), dim=0)
    normal = surface.normal
    towards_key, towards_fill = normal @ to_key, normal @ to_fill
    wrap = tensor(_WRAP) * ((1 - surface.hair) * (1 - surface.cloth))[:, None]

    def diffuse(cosine: Tensor) -> Tensor:
        return ((cosine[:, None] + wrap) / (1 + wrap)).clamp(min=0)

    lit = 1 - shadow[:, None] * tensor(_SHADOW_TINT)
    up, down = -normal[:, 1].clamp(max=0), normal[:, 1].clamp(min=0)
    sky = (0.80 + 0.20 * up + 0.12 * down) * (0.55 + 0.45 * normal[:, 2].clamp(0, 1))
    open_key, open_fill = 0.35 + 0.65 * openness[:, None], 0.3 + 0.7 * openness[:, None]
    received = light.key * tensor(light.colour) * diffuse(towards_key) * lit * open_key
    received = received + light.fill * diffuse(towards_fill) * open_fill
    received = received + (light.ambient * sky * openness)[:, None]
    view = tensor([0.0, 0.0, 1.0])
    half_key = functional.normalize(to_key + view, dim=0)
    half_fill = functional.normalize(to_fill + view, dim=0)
    gloss_key, gloss_fill = (normal @ half_key).clamp(min=0), (normal @ half_fill).clamp(min=0)
    shine = _skin_shine(surface, light, gloss_key, gloss_fill, shadow) * person.oil * openness
    shine = shine + surface.eye * (gloss_key**420 * 1.6 * light.key + gloss_fill**300 * 0.25)
    teeth = (surface.material == MOUTH) & (surface.albedo[:, 0] > 0.3)
    shine = shine + teeth * 0.05 * gloss_key**20
    hair_light = towards_key.clamp(min=0.1) * light.key * (1 - 0.6 * shadow)
    hair = _hair_shine(surface, person, camera, half_key) * hair_light[:, None]
    return surface.albedo * received + shine[:, None] + hair


def _skin_shine(
    surface: Surface, light: Light, gloss_key: Tensor, gloss_fill: Tensor, shadow: Tensor
) -> Tensor:
    skin = (
        (1 - surface.hair) * (1 - surface.cloth) * (1 - surface.eye) * (surface.material != MOUTH)
    )
    key = (0.055 * gloss_key**9 + 0.075 * gloss_key**34) * light.key * (1 - 0.8 * shadow)
    fill = (0.05 * gloss_fill**9 + 0.05 * gloss_fill**34) * light.fill
    grazing = 0.35 + 0.65 * (1 - surface.normal[:, 2].clamp(0, 1)) ** 3
    return 1.1 * (key + fill) * grazing * skin * (1 + 0.8 * surface.lip)


def _hair_shine(surface: Surface, person: Person, camera: Camera, half_key: Tensor) -> Tensor:
    """Bands of light across strands that run down the head (after Kajiya and Kay 1989)."""
    down = tensor(camera.turn[:, 1])[None].expand_as(surface.normal)
    across = torch.cross(surface.normal, down, dim=1)
    strand = torch.cross(across, surface.normal, dim=1)
    strand = functional.normalize(strand, dim=1, eps=1e-6)
    sine = torch.sqrt((1 - (strand @ half_key) ** 2).clamp(min=0))
    band = surface.hair * (sine**60 * 0.10 + sine**14 * 0.05)
    colour = tensor(person.hair.colour)
    strength = 0.25 if person.hair.cut in SHAVED else 1.0
    tone = (surface.albedo / (colour + 1e-3)).clamp(0.4, 1.6)
    return strength * band[:, None] * colour**0.5 * tone
