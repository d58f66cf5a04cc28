"""Pictures bent by a flow: where each pixel comes from when landmarks move, and the sampling there.
On the points' device."""

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
    side = min(SEARCHED, size)
    usable = shares.masked_fill(flat[..., None, None], -torch.inf)
    # a processor's cache holds what one face needs, and a GPU wants all of them at once
    parts = usable.split(1) if new.device.type == "cpu" else [usable]
    found = torch.cat([_deepest(part, side) for part in parts])
    affine = (moves[:, triangles].transpose(2, 3) @ shares).permute(0, 2, 3, 1).flatten(1, 2)
    chosen = affine.gather(2, found[:, None].expand(-1, 6, -1))  # (N, 6, side²)
    of_x, of_y, constant = (
        F.interpolate(chosen.view(-1, 6, side, side), size).unflatten(1, (2, 3)).unbind(2)
    )
    x, y = pixel_places(size, new.device)
    return of_x * x + of_y * y + constant


def _deepest(shares: Tensor, side: int) -> Tensor:
    """The triangle that each pixel lies deepest in, or least outside of, (N, side²) int64.
    Triangles are innermost, as that stays in a processor's cache.

    shares  (N, T, 3, 3)  of `_shares`, -inf for a triangle that is not to be chosen
    """
    of_x, of_y, constant = shares.permute(3, 0, 2, 1).contiguous()[..., None, :]  # (N, 3, 1, T)
    centres = (torch.arange(side, device=shares.device)[:, None] + 0.5) / side
    across, down = (of_x * centres)[:, :, None], (of_y * centres + constant)[:, :, :, None]
    depth = across[:, 0] + down[:, 0]  # (N, side, side, T)
    for corner in (1, 2):
        torch.minimum(depth, across[:, corner] + down[:, corner], out=depth)
    depth = depth.flatten(1, 2)
    if depth.device.type != "cpu":
        return depth.argmax(2)
    return torch.from_numpy(depth.numpy().argmax(2))  # five times as fast as PyTorch's


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
