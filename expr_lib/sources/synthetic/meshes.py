"""From a person and action units to triangles: head, ears, neck and shoulders, hanging hair."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from expr_lib.sources.synthetic.canonical import BOTTOM, TOP, Array, ridge, smoothstep
from expr_lib.sources.synthetic.hair import Curtain
from expr_lib.sources.synthetic.person import Clothes, Person
from expr_lib.sources.synthetic.template import MOUTH, SKIN, Template, template

EAR, BODY, CURTAIN = 2, 3, 4
"""Materials besides the head's SKIN and MOUTH."""
MATERIALS = (SKIN, MOUTH, EAR, BODY, CURTAIN)


@dataclass(frozen=True)
class Scene:
    """Triangles to draw.

    vertices, normals  (V, 3) eye distances, unit vectors
    coordinates        (V, 2) head, hair: texture -1..1; ear: shade; body: angle / pi and height
    faces              (F, 3) vertex indices; `materials` (F,); `two_sided` (F,) bool
    """

    vertices: Tensor
    normals: Tensor
    coordinates: Tensor
    faces: Tensor
    materials: Tensor
    two_sided: Tensor


@dataclass
class _Part:
    points: Tensor
    normals: Tensor
    coordinates: Tensor
    faces: Array
    materials: Array
    two_sided: bool = False


def tensor(values: Array | tuple[float, ...] | list[float]) -> Tensor:
    """float32 tensor of anything array-like."""
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)


def move_head(person: Person, activity: Mapping[str, float]) -> Array:
    """The head's vertices (V, 3) float32 with each unit's field added at its weight."""
    fields = template().fields
    vertices = person.vertices.astype(np.float32)
    for unit, weight in activity.items():
        vertices += weight * fields[unit]
    return vertices


def build_scene(person: Person, vertices: Array) -> Scene:
    """Put together everything that is seen of a person whose head has moved to `vertices`."""
    base = template()
    parts = [_head_part(base, person, vertices)]
    for side in (-1, 1):
        misfit = np.abs(base.angle - side * 1.5) * 3 + np.abs(base.y - 0.30)
        root = vertices[np.argmin(misfit[: base.grid])] + np.array([0, 0, 0.06])
        points, shade = ear_mesh(person.clothes, side, root)
        coordinates = np.stack([shade, 0 * shade], -1)
        parts.append(_grid_part(points, coordinates, EAR, two_sided=True, flip=side > 0))
    chin = person.vertices[base.grid + 8, 1] - BOTTOM
    points, coordinates = body_mesh(person.clothes.neck_width, person.male)
    parts.append(_grid_part(points + np.array([0, 0.5 * chin, 0]), coordinates, BODY))
    if person.hair.curtain is not None:
        points, coordinates = curtain_mesh(person.hair.curtain)
        parts.append(_grid_part(points, coordinates, CURTAIN, two_sided=True))
    return _join(parts)


def _join(parts: list[_Part]) -> Scene:
    starts = np.cumsum([0, *(len(part.points) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts[:-1], strict=True)]
    sides = [np.full(len(part.faces), part.two_sided) for part in parts]
    return Scene(
        vertices=torch.cat([part.points for part in parts]),
        normals=torch.cat([part.normals for part in parts]),
        coordinates=torch.cat([part.coordinates for part in parts]),
        faces=torch.from_numpy(np.concatenate(faces)),
        materials=torch.from_numpy(np.concatenate([part.materials for part in parts])),
        two_sided=torch.from_numpy(np.concatenate(sides)),
    )


def _head_part(base: Template, person: Person, vertices: Array) -> _Part:
    grid = tensor(vertices[: base.grid]).view(base.rows, base.columns, 3)
    normals = _head_normals(grid, base.slit)
    offset = tensor(person.hair_offset).view(base.rows, base.columns, 1)
    if float(offset.max()) > 0:
        grid = grid + normals * offset * tensor([1.0, 1.0, 0.7])
        hairy = (offset > 0.005).float()
        normals = normals * (1 - hairy) + grid_normals(grid) * hairy
        normals = functional.normalize(normals, dim=-1)
        normals[0] = tensor([0.0, -1.0, 0.0])
    across = base.angle[: base.grid] / math.pi
    down = (base.y[: base.grid] - TOP) / (BOTTOM - TOP) * 2 - 1
    return _Part(
        points=grid.reshape(-1, 3),
        normals=normals.reshape(-1, 3),
        coordinates=tensor(np.stack([across, down], -1)),
        faces=base.faces,
        materials=base.materials,
    )


def _head_normals(grid: Tensor, slit: int) -> Tensor:
    normals = grid_normals(grid)
    # the two margins of the lips are one-sided: normals across the slit would mix the lips
    upward = grid[slit] - grid[slit - 1]
    downward = grid[slit + 2] - grid[slit + 1]
    for row, along in ((slit, upward), (slit + 1, downward)):
        across = torch.zeros_like(along)
        across[1:-1] = grid[row, 2:] - grid[row, :-2]
        across[0], across[-1] = across[1], across[-2]
        normals[row] = functional.normalize(torch.cross(across, along, dim=-1), dim=-1, eps=1e-9)
    # the crown and the chin's lowest row are single points, which have no normal of their own
    normals[0], normals[-1] = tensor([0.0, -1.0, 0.0]), tensor([0.0, 1.0, 0.0])
    seam = functional.normalize(normals[:, 0] + normals[:, -1], dim=-1)
    normals[:, 0] = normals[:, -1] = seam
    return normals


def grid_normals(points: Tensor) -> Tensor:
    """Unit normals of a grid of points (rows, columns, 3), by central differences."""
    across, down = torch.empty_like(points), torch.empty_like(points)
    across[:, 1:-1] = points[:, 2:] - points[:, :-2]
    across[:, 0], across[:, -1] = points[:, 1] - points[:, 0], points[:, -1] - points[:, -2]
    down[1:-1] = points[2:] - points[:-2]
    down[0], down[-1] = points[1] - points[0], points[-1] - points[-2]
    return functional.normalize(torch.cross(across, down, dim=-1), dim=-1, eps=1e-9)


def _grid_part(
    points: Array, coordinates: Array, material: int, two_sided: bool = False, flip: bool = False
) -> _Part:
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    faces = np.concatenate([np.stack(f, -1).reshape(-1, 3) for f in ((a, b, c), (b, d, c))])
    grid = tensor(points)
    normals = grid_normals(grid)
    return _Part(
        points=grid.reshape(-1, 3),
        normals=(-normals if flip else normals).reshape(-1, 3),
        coordinates=tensor(coordinates).reshape(-1, 2),
        faces=faces[:, ::-1].copy() if flip else faces,
        materials=np.full(len(faces), material),
        two_sided=two_sided,
    )


def ear_mesh(clothes: Clothes, side: int, root: Array) -> tuple[Array, Array]:
    """A dished disc at `root`; side -1 is the image's left. Returns points and their shade."""
    radius = np.linspace(0, 1, 12)[:, None]
    around = np.linspace(0, 2 * np.pi, 29)[None]
    cosine, sine = np.cos(around), np.sin(around)
    size, angle = clothes.ear_size, clothes.ear_angle
    up = 0.44 * size * radius * sine * (1 - 0.10 * sine)
    back = 0.27 * size * radius * cosine * (1 - 0.18 * sine) + 0.20 * size
    rim = 0.085 * ridge(radius, 0.86, 0.10) * (0.35 + 0.65 * (cosine > -0.6))
    bowl = -0.085 * ridge(radius, 0, 0.42) + 0.045 * ridge(radius, 0.55, 0.12) * (sine < 0.6)
    height = rim + bowl - 0.06 * smoothstep(0.93, 1.0, radius)
    backward = np.array([side * math.sin(angle), 0, -math.cos(angle)])
    outward = np.array([side * math.cos(angle), 0, math.sin(angle)])
    points = root + back[..., None] * backward + up[..., None] * np.array([0, 1, -0.12])
    shade = 1 - 0.45 * ridge(radius, 0, 0.35) - 0.15 * ridge(radius, 0.70, 0.07) + 0 * around
    return points + height[..., None] * outward, shade


def body_mesh(neck_width: float, male: bool) -> tuple[Array, Array]:
    """Neck and shoulders. Returns points, and angle / pi and height of each."""
    y = np.linspace(0.75, 4.6, 44)[:, None]
    angle = np.linspace(-np.pi, np.pi, 61)[None]
    neck = np.array([0.80, 0.80, 0.82, 0.95]) * neck_width
    half = PchipInterpolator(
        [0.7, 1.5, 2.1, 2.4, 2.65, 2.95, 3.3, 3.8, 4.7], [*neck, 1.35, 2.05, 2.55, 2.80, 2.9]
    )(y)
    depth = PchipInterpolator([0.7, 1.5, 2.1, 2.6, 3.2, 4.7], [0.78, 0.76, 0.76, 0.88, 1.05, 1.25])(
        y
    )
    middle = PchipInterpolator([0.7, 1.6, 2.3, 3.0, 4.7], [-1.22, -1.10, -1.02, -0.95, -0.75])(y)
    cosine = np.cos(angle)
    x = half * np.sin(angle)
    z = middle + depth * np.sign(cosine) * np.abs(cosine) ** 0.9
    larynx = np.exp(-((x / 0.16) ** 2) - ((y - 2.0) / 0.2) ** 2) * (cosine > 0)
    z = z + 0.05 * larynx * (1 if male else 0.3)
    heights = y + 0 * angle
    return np.stack([x, heights, z], -1), np.stack([angle / np.pi + 0 * y, heights], -1)


def curtain_mesh(curtain: Curtain) -> tuple[Array, Array]:
    """Hair that hangs around the back and sides. Returns points and their texture coordinates."""
    y = np.linspace(-1.0, curtain.length, 46)[:, None]
    start = math.radians(curtain.front)
    angle = np.linspace(start, 2 * np.pi - start, 91)[None]
    wide = np.interp(y, [-1, -0.3, 0.5, 1.2, 2.2, 3.5], [1.08, 1.24, 1.30, 1.27, 1.22, 1.28])
    phase = curtain.frequency * y + 3 * angle + curtain.phase
    wave = 1 + curtain.wave * np.sin(phase) * smoothstep(-0.3, 0.8, y)
    tips = np.random.default_rng(curtain.tips_seed).standard_normal(30)
    tip = np.interp(angle[0], np.linspace(start, 2 * np.pi - start, 30), tips)[None] * 0.10
    hanging = y + tip * smoothstep(curtain.length - 1, curtain.length, y)
    cosine = np.cos(angle)
    z = -1.05 + 1.75 * wave * np.where(cosine > 0, 0.62 * cosine, cosine)
    points = np.stack([wide * wave * np.sin(angle), hanging, z], -1)
    across, down = np.linspace(-1, 1, 91)[None], np.linspace(-0.4, 1, 46)[:, None]
    return points, np.stack(np.broadcast_arrays(across, down), -1)
