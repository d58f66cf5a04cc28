"""What is seen at each pixel before any light falls on it: colour, normal and kind of surface."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from expr_lib.sources.synthetic.camera import Camera
from expr_lib.sources.synthetic.meshes import BODY, CURTAIN, EAR, MOUTH, Scene, tensor
from expr_lib.sources.synthetic.person import Person
from expr_lib.sources.synthetic.raster import interpolate, visible_triangles
from expr_lib.sources.synthetic.texture import COLUMN_STEP, HEIGHT, ROW_STEP, WIDTH
from expr_lib.sources.synthetic.wrinkles import FRONT, FRONT_WIDTH

_FOLD_DEPTH = 0.016
_FOLD_TINT = (0.75, 1.0, 1.0)
_EAR_TINT = (1.02, 0.93, 0.92)
_NECK_TINT = (1.0, 0.97, 0.95)


@dataclass
class Surface:
    """The N pixels that show the person.

    pixel     (N,) index into the square picture; `x`, `y` (N,) its place
    albedo    (N, 3) linear RGB
    normal    (N, 3) in the camera's frame
    depth     (N,) towards the camera, eye distances
    material  (N,) as in the scene; `coordinates` (N, 2) likewise
    hair, lip, cloth, eye  (N,) how much of the pixel is that, 0..1
    eye_depth (N,) distance inside the opening of the eye, eye distances
    """

    pixel: Tensor
    x: Tensor
    y: Tensor
    albedo: Tensor
    normal: Tensor
    depth: Tensor
    material: Tensor
    coordinates: Tensor
    hair: Tensor
    lip: Tensor
    cloth: Tensor
    eye: Tensor
    eye_depth: Tensor


def see(person: Person, scene: Scene, camera: Camera, folds: Tensor) -> Surface:
    """Find what each pixel shows, and its painted colour and relief.

    folds  (HEIGHT, FRONT_WIDTH) depth of the skin's folds at this moment
    """
    places, _ = camera.project(scene.vertices)
    triangle = visible_triangles(places, scene.faces, scene.two_sided, camera.size)
    pixel = (triangle >= 0).nonzero()[:, 0]
    triangle = triangle[pixel]
    x, y = (pixel % camera.size).float(), (pixel // camera.size).float()
    turned = scene.normals @ camera.turn_tensor.T
    carried = torch.cat([turned, scene.coordinates, places[:, 2:3]], 1)
    carried = interpolate(places, scene.faces[triangle], x, y, carried)
    material = scene.materials[triangle]
    normal = functional.normalize(carried[:, :3], dim=1)
    turned_away = (normal[:, 2] < -0.05) & (material >= EAR)
    normal = torch.where(turned_away[:, None], -normal, normal)
    empty = torch.zeros(len(pixel))
    surface = Surface(
        pixel=pixel,
        x=x,
        y=y,
        albedo=torch.zeros(len(pixel), 3),
        normal=normal,
        depth=carried[:, 5],
        material=material,
        coordinates=carried[:, 3:5],
        hair=empty.clone(),
        lip=empty.clone(),
        cloth=empty.clone(),
        eye=empty.clone(),
        eye_depth=empty - 1,
    )
    _paint_head(surface, person, camera, folds)
    _paint_ears(surface, person)
    _paint_body(surface, person, camera)
    if person.strands is not None:
        _paint_curtain(surface, person, person.strands)
    return surface


def _look_up(maps: Tensor, places: Tensor, padding: str = "border") -> Tensor:
    """Values (N, C) of maps (C, H, W) at places (N, 2) in -1..1."""
    grid = places.view(1, 1, -1, 2)
    found = functional.grid_sample(maps[None], grid, align_corners=True, padding_mode=padding)
    return found[0, :, 0].T


def _paint_head(surface: Surface, person: Person, camera: Camera, folds: Tensor) -> None:
    head = (surface.material <= MOUTH).nonzero()[:, 0]
    coordinates = surface.coordinates[head]
    painted = _look_up(person.texture, coordinates)
    fold_maps = torch.zeros(3, HEIGHT, FRONT_WIDTH)
    fold_maps[0, :, 1:-1] = -_FOLD_DEPTH * (folds[:, 2:] - folds[:, :-2]) / (2 * COLUMN_STEP)
    fold_maps[1, 1:-1] = -_FOLD_DEPTH * (folds[2:] - folds[:-2]) / (2 * ROW_STEP)
    fold_maps[2] = folds
    column = (coordinates[:, 0] + 1) * 0.5 * (WIDTH - 1) - FRONT.start
    in_front = torch.stack([column / (FRONT_WIDTH - 1) * 2 - 1, coordinates[:, 1]], 1)
    folded = _look_up(fold_maps, in_front, "zeros")
    # the relief tilts the normal: its slopes lie along the head's x and y
    slopes = painted[:, 6:8] + folded[:, :2]
    tilt = torch.cat([-slopes, torch.zeros(len(head), 1)], 1) @ camera.turn_tensor.T
    surface.normal[head] = functional.normalize(surface.normal[head] + tilt, dim=1)
    fold_shade = 1 - 0.20 * folded[:, 2:3].clamp(0, 1.2) * tensor(_FOLD_TINT)
    surface.albedo[head] = painted[:, :3] * fold_shade
    surface.hair[head], surface.lip[head] = painted[:, 3], painted[:, 4]
    surface.eye_depth[head] = painted[:, 5]


def _paint_ears(surface: Surface, person: Person) -> None:
    ear = surface.material == EAR
    tint = tensor(person.skin_colour) * tensor(_EAR_TINT)
    surface.albedo[ear] = tint * surface.coordinates[ear, :1]


def _paint_body(surface: Surface, person: Person, camera: Camera) -> None:
    body = (surface.material == BODY).nonzero()[:, 0]
    angle, y = surface.coordinates[body, 0] * math.pi, surface.coordinates[body, 1]
    neckline = 2.50 + 0.16 * torch.cos(angle).clamp(min=0)
    neckline += person.clothes.v_neck * (1 - angle.abs() / 0.55).clamp(min=0)
    cloth = ((y - neckline) * camera.unit + 0.5).clamp(0, 1)
    seam = 1 - 0.35 * torch.exp(-(((y - neckline - 0.07) / 0.015) ** 2))
    neck = tensor(person.skin_colour) * 0.86 * tensor(_NECK_TINT)
    shirt = tensor(person.clothes.shirt) * seam[:, None]
    surface.albedo[body] = neck * (1 - cloth[:, None]) + shirt * cloth[:, None]
    surface.cloth[body] = cloth


def _paint_curtain(surface: Surface, person: Person, strands: Tensor) -> None:
    curtain = surface.material == CURTAIN
    streak = _look_up(strands[None], surface.coordinates[curtain], "zeros")
    surface.albedo[curtain] = tensor(person.hair.colour) * torch.exp(0.35 * streak)
    surface.hair[curtain] = 1.0
