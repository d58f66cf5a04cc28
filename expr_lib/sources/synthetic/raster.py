"""A vectorised z-buffer: which triangle is seen at each pixel, and what it carries there."""

from dataclasses import dataclass

import torch
from torch import Tensor

_ID_BITS = 22
_BOX_SIDES = torch.tensor((0, 1, 2, 3, 5, 8, 14, 30, 80, 700, 2000), dtype=torch.int32)
_TESTS_AT_ONCE = 400_000


@dataclass(frozen=True)
class _Triangles:
    """Front-facing triangles as planes over their bounding boxes.

    ids            (T,) their numbers in the scene
    left, top, width, height  (T,) box in pixels
    first, second  (T, 3) weight of the second and third corner: at the box's corner, per x, per y
    depth          (T, 3) packed depth, likewise
    """

    ids: Tensor
    left: Tensor
    top: Tensor
    width: Tensor
    height: Tensor
    first: Tensor
    second: Tensor
    depth: Tensor


def _prepare(places: Tensor, faces: Tensor, two_sided: Tensor, size: int) -> _Triangles:
    corners = places[faces.reshape(-1)].view(-1, 3, 3)
    ax, ay, bx, by, cx, cy = corners[:, :, :2].reshape(-1, 6).unbind(1)
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    ids = ((area > 1e-7) | (two_sided & (area < -1e-7))).nonzero()[:, 0]
    corners, area = corners[ids], area[ids]
    (ax, bx, cx), (ay, by, cy), (az, bz, cz) = (corners[:, :, i].unbind(1) for i in range(3))
    left = torch.minimum(torch.minimum(ax, bx), cx).ceil().clamp(min=0)
    right = torch.maximum(torch.maximum(ax, bx), cx).floor().clamp(max=size - 1)
    top = torch.minimum(torch.minimum(ay, by), cy).ceil().clamp(min=0)
    bottom = torch.maximum(torch.maximum(ay, by), cy).floor().clamp(max=size - 1)
    first_x, first_y = (cy - ay) / area, -(cx - ax) / area
    second_x, second_y = -(by - ay) / area, (bx - ax) / area
    dx, dy = left - ax, top - ay
    first = torch.stack([dx * first_x + dy * first_y, first_x, first_y], 1)
    second = torch.stack([dx * second_x + dy * second_y, second_x, second_y], 1)
    depth = first * (bz - az)[:, None] + second * (cz - az)[:, None]
    depth[:, 0] += az + 16
    return _Triangles(
        ids=ids,
        left=left.long(),
        top=top.long(),
        width=(right - left).int(),
        height=(bottom - top).int(),
        first=first,
        second=second,
        depth=depth * 65536,
    )


def visible_triangles(places: Tensor, faces: Tensor, two_sided: Tensor, size: int) -> Tensor:
    """Find the nearest triangle at each pixel.

    places     (V, 3) pixel x, pixel y, depth (larger is nearer)
    faces      (F, 3) int64 vertices, clockwise in the picture when they face the camera
    two_sided  (F,) bool, drawn from behind too
    size       side of the picture, pixels
    returns    (size * size,) int64 index into faces, -1 where there is none
    """
    triangles = _prepare(places, faces, two_sided, size)
    buffer = torch.full((size * size,), -1, dtype=torch.int64)
    # triangles whose boxes have about the same size are tested together, all their pixels at once
    wide = torch.bucketize(triangles.width, _BOX_SIDES)
    high = torch.bucketize(triangles.height, _BOX_SIDES)
    seen = (triangles.width >= 0) & (triangles.height >= 0)
    code = torch.where(seen, wide * 16 + high, torch.full_like(wide, -1))
    order = torch.argsort(code, stable=True)
    codes, counts = torch.unique_consecutive(code[order], return_counts=True)
    for value, group in zip(codes.tolist(), order.split(counts.tolist()), strict=True):
        if value < 0:
            continue
        columns = min(int(_BOX_SIDES[value // 16]), size - 1) + 1
        rows = min(int(_BOX_SIDES[value % 16]), size - 1) + 1
        for part in group.split(max(1, _TESTS_AT_ONCE // (columns * rows))):
            _draw(triangles, part, columns, rows, size, buffer)
    return torch.where(buffer >= 0, buffer & ((1 << _ID_BITS) - 1), buffer)


def _draw(t: _Triangles, part: Tensor, columns: int, rows: int, size: int, buffer: Tensor) -> None:
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    x, y = x.reshape(1, -1).float(), y.reshape(1, -1).float()
    first, second = t.first[part][:, :, None], t.second[part][:, :, None]
    w1 = torch.addcmul(torch.addcmul(first[:, 0], first[:, 1], x), first[:, 2], y)
    w2 = torch.addcmul(torch.addcmul(second[:, 0], second[:, 1], x), second[:, 2], y)
    inside = torch.minimum(torch.minimum(w1, w2), 1 - w1 - w2) >= -1e-4
    row, pixel = inside.nonzero(as_tuple=True)
    index, px, py = part[row], x[0, pixel], y[0, pixel]
    fits = (px <= t.width[index]) & (py <= t.height[index])  # the group's box may be the larger
    index, px, py = index[fits], px[fits], py[fits]
    z = t.depth[index, 0] + t.depth[index, 1] * px + t.depth[index, 2] * py
    # depth in the high bits, the triangle in the low: the largest number is the nearest triangle
    key = (z.long().clamp(min=0) << _ID_BITS) + t.ids[index]
    place = (t.top[index] + py.long()) * size + t.left[index] + px.long()
    buffer.scatter_reduce_(0, place, key, "amax")


def interpolate(
    places: Tensor, corners: Tensor, x: Tensor, y: Tensor, attributes: Tensor
) -> Tensor:
    """Carry attributes of vertices to pixels.

    places      (V, 3) as above; corners (N, 3) vertices of the triangle seen at each pixel
    x, y        (N,) the pixels
    attributes  (V, C)
    returns     (N, C)
    """
    a, b, c = (places[corners[:, i]] for i in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    w1 = (x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (y - a[:, 1])
    w2 = (b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (x - a[:, 0]) * (b[:, 1] - a[:, 1])
    w1, w2 = (w1 / area)[:, None], (w2 / area)[:, None]
    first, second, third = (attributes[corners[:, i]] for i in range(3))
    return first * (1 - w1 - w2) + second * w1 + third * w2
