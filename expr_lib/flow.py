"""Pictures bent by a flow: where each pixel comes from when landmarks move, and the sampling there.
Batched, on the points' device."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.spatial import Delaunay
from torch import Tensor

Sampling = Literal["bilinear", "bicubic"]

FRAME: NDArray[np.float64] = np.array(
    [[x, y] for x in (0.0, 0.5, 1.0) for y in (0.0, 0.5, 1.0) if (x, y) != (0.5, 0.5)]
)
"""Points of the crop's border that stay where they are, (8, 2) crop widths."""

SEARCHED = 64
"""Side of the grid on which the triangle of each pixel is looked for."""

FLAT = 1e-7
"""Twice the area, square crop widths, below which a triangle has no inside."""


def triangulate(points: NDArray[np.floating]) -> Tensor:
    """Triangles between the landmarks of a mean face and FRAME, which serve for all faces
    (Delaunay).

    points   (K, 2)  inside the crop, crop widths
    returns  (T, 3) int64, places among the landmarks followed by FRAME
    raises   ValueError when the landmarks span no face
    """
    if np.ptp(points, axis=0).min() < 0.01:
        raise ValueError("the mean face has no extent: Φ has not seen any landmarks yet")
    return torch.from_numpy(Delaunay(np.concatenate([points, FRAME])).simplices.astype(np.int64))


def landmark_flow(new: Tensor, old: Tensor, triangles: Tensor, size: int) -> Tensor:
    """Where the pixels come from of a picture whose landmarks move from `old` to `new`: piecewise
    affine, as the control that warps, but with the same triangles for every face.

    new, old   (N, K, 2)  crop widths
    triangles  (T, 3)  of `triangulate`
    returns    (N, 2, size, size)  x and y to add to a pixel's own place, crop widths
    """
    with torch.autocast(new.device.type, enabled=False):  # half a pixel would be lost in bfloat16
        return _flow(new, old, triangles, size)


def _flow(new: Tensor, old: Tensor, triangles: Tensor, size: int) -> Tensor:
    frame = torch.as_tensor(FRAME, dtype=new.dtype, device=new.device).expand(len(new), -1, -1)
    ends = torch.cat([new.clamp(0, 1), frame], dim=1)
    moves = torch.cat([old.clamp(0, 1) - new.clamp(0, 1), torch.zeros_like(frame)], dim=1)
    shares, flat = _shares(ends[:, triangles])  # (N, T, 3, 3), (N, T)
    # a pixel's triangle is the one that it lies deepest in, or least outside of
    side = min(SEARCHED, size)
    depth = (
        (shares.flatten(1, 2) @ _with_one(side, new.device)).unflatten(1, (-1, 3)).amin(2)
    )  # (N, T, pixels)
    found = depth.masked_fill(flat[..., None], -torch.inf).argmax(1)
    found = F.interpolate(found.reshape(-1, 1, side, side).float(), size).long().flatten(1)
    affine = moves[:, triangles].transpose(2, 3) @ shares  # (N, T, 2, 3)
    place = found[:, :, None, None].expand(-1, -1, 2, 3)
    chosen = affine.gather(1, place)  # (N, pixels, 2, 3)
    pixels = _with_one(size, new.device).T[:, :, None]  # (pixels, 3, 1)
    return (chosen @ pixels)[..., 0].transpose(1, 2).reshape(len(new), 2, size, size)


def _shares(corners: Tensor) -> tuple[Tensor, Tensor]:
    """How the barycentric coordinates of a point follow from (x, y, 1).

    corners  (N, T, 3, 2)
    returns  (N, T, 3, 3): a row a corner; and (N, T) bool, where a triangle is too flat for it
    """
    (ax, ay), (bx, by), (cx, cy) = (corners[..., i, :].unbind(-1) for i in range(3))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    rows = [
        torch.stack([y1 - y2, x2 - x1, x1 * y2 - x2 * y1], -1)
        for x1, y1, x2, y2 in ((bx, by, cx, cy), (cx, cy, ax, ay), (ax, ay, bx, by))
    ]
    flat = area.abs() < FLAT
    divisor = torch.where(flat, torch.ones_like(area), area)
    return torch.stack(rows, -2) / divisor[..., None, None], flat


def _with_one(size: int, device: torch.device) -> Tensor:
    """The centres of a square picture's pixels as (x, y, 1), (3, size²)."""
    places = pixel_places(size, device).flatten(1)
    return torch.cat([places, torch.ones_like(places[:1])])


def pixel_places(size: int, device: torch.device) -> Tensor:
    """The centres of a square picture's pixels, (2, size, size): x and y in crop widths."""
    centres = (torch.arange(size, device=device) + 0.5) / size
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y])


def bend(photos: Tensor, flow: Tensor, sampling: Sampling = "bilinear") -> Tensor:
    """Pictures whose pixels come from elsewhere in the photos; beyond the border lies its colour.

    photos    (N, C, H, W)  square
    flow      (N, 2, H, W)  x and y to add to a pixel's own place, crop widths
    sampling  between pixels; `bicubic` blurs less, and may leave the photos' range
    returns   (N, C, H, W) float32
    """
    places = pixel_places(photos.shape[-1], photos.device) + flow.float()
    grid = 2 * places.permute(0, 2, 3, 1) - 1
    return F.grid_sample(photos.float(), grid, sampling, "border", align_corners=False)
