"""Texture space: the head unrolled, angle by column, canonical height by row; and its brushes."""

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as functional
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from expr_lib.sources.synthetic.canonical import (
    BOTTOM,
    EYE_INNER,
    EYE_OUTER,
    TOP,
    Array,
    half_width,
    lid_curves,
    lip_bottom,
    lip_top,
    smoothstep,
)

WIDTH, HEIGHT = 1024, 640
SHAPE = (HEIGHT, WIDTH)
COLUMN_STEP = 2 * math.pi / WIDTH * 1.13
"""Width of a texel on the front of the head, eye distances."""
ROW_STEP = (BOTTOM - TOP) / HEIGHT
"""Height of a texel, eye distances."""


class TextureSpace:
    """Coordinates and masks of all texels, each (HEIGHT, WIDTH).

    angle, y      around the head (radians) and canonical height
    x, ax         canonical x and its absolute value; far away behind the ears, where nothing
                  is painted
    left, right   bool, image left and right half of the head
    lid_upper, lid_lower  heights of the lid margins in that column
    eye_depth     distance inside the opening of the eye (negative outside), eye distances
    lip           0..1, the red of the lips
    """

    def __init__(self) -> None:
        rows = np.linspace(TOP, BOTTOM, HEIGHT)
        columns = np.linspace(-np.pi, np.pi, WIDTH)
        angle, y = np.meshgrid(columns, rows)
        x = half_width(y) * np.sin(angle)
        self.left, self.right = x < 0, x > 0
        self.angle, self.y = angle.astype(np.float32), y.astype(np.float32)
        self.x = np.where(np.cos(angle) > 0.05, x, 9.0).astype(np.float32)
        self.ax = np.abs(self.x)
        self.lid_upper, self.lid_lower = lid_curves(self.ax)
        between = np.minimum(self.y - self.lid_upper, self.lid_lower - self.y)
        corners = np.minimum(self.ax - EYE_INNER, EYE_OUTER - self.ax)
        self.eye_depth = np.minimum(between, corners).astype(np.float32)
        self.lip = self._lip().astype(np.float32)

    def _lip(self) -> Array:
        ax = np.clip(self.ax, 0, 0.401)
        soft = 0.019
        below_top = smoothstep(-soft, soft, self.y - lip_top(ax))
        above_bottom = smoothstep(-0.5 * soft, 1.8 * soft, lip_bottom(ax) - self.y)
        return below_top * above_bottom * smoothstep(0.41, 0.385, self.ax)

    def texel(self, x: float, y: float) -> tuple[int, int]:
        """Row and column of a frontal point."""
        sine = float(np.clip(x / half_width(np.array(y)), -1, 1))
        column = int((math.asin(sine) / (2 * math.pi) + 0.5) * WIDTH)
        return int((y - TOP) / (BOTTOM - TOP) * HEIGHT), column

    def stroke(
        self, points: list[tuple[float, float]], width: float, strength: float = 1.0
    ) -> Array:
        """A soft tapered line through canonical points, on both halves of the face."""
        corners = np.asarray(points, float)
        knots, dense = np.linspace(0, 1, len(corners)), np.linspace(0, 1, 80)
        line = np.stack([PchipInterpolator(knots, corners[:, i])(dense) for i in (0, 1)], -1)
        low, high = line.min(0) - 4 * width, line.max(0) + 4 * width
        near = (self.ax > low[0]) & (self.ax < high[0]) & (self.y > low[1]) & (self.y < high[1])
        distance, nearest = cKDTree(line).query(np.stack([self.ax[near], self.y[near]], -1))
        taper = np.sin(np.pi * np.clip(dense[nearest] * 0.94 + 0.03, 0, 1)) ** 0.6
        out = np.zeros(SHAPE)
        out[near] = strength * np.exp(-((distance / width) ** 2)) * taper
        return out


@lru_cache(maxsize=1)
def texture_space() -> TextureSpace:
    """The one texture space, made on first use."""
    return TextureSpace()


def smooth_noise(
    rng: np.random.Generator, sigma: float | tuple[float, float], shape: tuple[int, int] = SHAPE
) -> Array:
    """Noise of mean 0 and deviation 1, its grains about `sigma` texels (rows, columns) wide."""
    sigmas = np.broadcast_to(np.asarray(sigma, float), (2,))
    # drawn small and enlarged: much cheaper than filtering at full size
    small = [max(4, math.ceil(n / max(1.0, s * 0.7))) for n, s in zip(shape, sigmas, strict=True)]
    grains = gaussian_filter(rng.standard_normal(small, dtype=np.float32), 0.8, mode="wrap")
    enlarged = functional.interpolate(torch.from_numpy(grains)[None, None], shape, mode="bilinear")
    noise = enlarged[0, 0].numpy()
    return (noise - noise.mean()) / (noise.std() + 1e-6)
