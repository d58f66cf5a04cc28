"""Landmarks drawn as a one-channel image, the fourth input channel of Table 1: batched, on the
points' device."""

import math

import torch
from torch import Tensor

from expr_lib.points import CLOSED_PARTS, LANDMARK_PARTS


def _segments() -> tuple[list[int], list[int]]:
    starts, ends = [], []
    for part, indices in LANDMARK_PARTS.items():
        path = [*indices, indices[0]] if part in CLOSED_PARTS else list(indices)
        starts += path[:-1]
        ends += path[1:]
    return starts, ends


_STARTS, _ENDS = _segments()


def draw_landmarks(
    points: Tensor, size: int, thickness: float = 2.0, style: str = "lines"
) -> Tensor:
    """Draw landmarks as one-channel images: each iBUG face part an anti-aliased polyline [7].

    points     (N, 68, 2)  x, y in crop widths; what lies outside the crop is cut off
    size       side of the square image, pixels
    thickness  line width at size 256, pixels; scales with size, but never below 1 pixel
    style      `lines`, or `dots` for one dot a landmark, twice as wide
    returns    (N, 1, size, size) in [-1, 1], -1 is background
    raises     ValueError when points are not (N, 68, 2) or not finite
    """
    if points.ndim != 3 or points.shape[1:] != (68, 2):
        raise ValueError(f"points must be (N, 68, 2), not {tuple(points.shape)}")
    if not torch.isfinite(points).all():
        raise ValueError("points must be finite")
    pixels = points.float().clamp(-1, 2) * size - 0.5
    if style == "lines":
        a, b = pixels[:, _STARTS], pixels[:, _ENDS]
        radius = max(thickness * size / 256, 1.0) / 2
    elif style == "dots":
        return draw_dots(points, size, thickness)
    else:
        raise ValueError(f"style must be lines or dots, not {style!r}")
    return _draw_segments(a, b, radius, size)


def draw_dots(points: Tensor, size: int, thickness: float = 2.0) -> Tensor:
    """Draw landmarks of any numbering, one dot each, twice as wide as a line.

    points     (N, K, 2)  x, y in crop widths; what lies outside the crop is cut off
    size       side of the square image, pixels
    thickness  half the width of a dot at size 256, pixels; scales with size
    returns    (N, 1, size, size) in [-1, 1], -1 is background
    """
    pixels = points.float().clamp(-1, 2) * size - 0.5
    return _draw_segments(pixels, pixels, max(thickness * size / 256, 1.0), size)


def _draw_segments(a: Tensor, b: Tensor, radius: float, size: int) -> Tensor:
    """Capsules around the segments a-b (N, S, 2), in pixels; only a window around each segment is
    computed."""
    batch = len(a)
    middle = ((a + b) / 2).round()
    longest = (b - a).abs().amax().item() if a.numel() else 0.0
    reach = math.ceil(longest / 2 + radius + 1.5)
    if reach > size // 2:  # a window larger than the picture: take the picture, which bounds memory
        middle, reach = torch.full_like(middle, size // 2), size // 2
    offsets = torch.arange(-reach, reach + 1, device=a.device, dtype=a.dtype)
    x = middle[..., 0, None] + offsets  # (N, S, w)
    y = middle[..., 1, None] + offsets
    # distance from each pixel of the window to its segment
    along = b - a
    length_squared = along.square().sum(-1).clamp_min(1e-12)
    from_a_x = x - a[..., 0, None]
    from_a_y = y - a[..., 1, None]
    share = (
        from_a_x[..., None, :] * (along[..., 0] / length_squared)[..., None, None]
        + from_a_y[..., :, None] * (along[..., 1] / length_squared)[..., None, None]
    ).clamp_(0, 1)
    dx = from_a_x[..., None, :] - share * along[..., 0, None, None]
    dy = from_a_y[..., :, None] - share * along[..., 1, None, None]
    ink = (radius + 0.5 - (dx * dx + dy * dy).sqrt_()).clamp_(0, 1)  # (N, S, w, w)
    inside = ((x >= 0) & (x < size))[..., None, :] & ((y >= 0) & (y < size))[..., :, None]
    ink *= inside
    place = y.clamp(0, size - 1)[..., :, None] * size + x.clamp(0, size - 1)[..., None, :]
    canvas = torch.zeros(batch, size * size, device=a.device, dtype=a.dtype)
    canvas.scatter_reduce_(1, place.long().flatten(1), ink.flatten(1), "amax")
    return canvas.view(batch, 1, size, size) * 2 - 1
