"""Texture space: the head unrolled, angle by column, canonical height by row; and its brushes."""

import math
from functools import lru_cache

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from expr_lib.sources.synthetic.canonical import (
    AXIS_Z,
    BOTTOM,
    TOP,
    Array,
    brow_centre,
    lid_lower,
    lid_upper,
)
from expr_lib.sources.synthetic.head import Head, head
from expr_lib.sources.synthetic.raster import interpolate, visible_triangles

WIDTH, HEIGHT = 1024, 768
SHAPE = (HEIGHT, WIDTH)
COLUMN_STEP = 2 * math.pi / WIDTH * 1.25
"""Width of a texel on the front of the head, eye distances."""
ROW_STEP = (BOTTOM - TOP) / HEIGHT
"""Height of a texel, eye distances."""


class TextureSpace:
    """What lies under each texel, each (HEIGHT, WIDTH) float32.

    angle, y      around the head (radians) and canonical height
    x, ax         canonical x and its absolute value; far away behind the ears, where no feature
                  is painted
    left, right   bool, image left and right half of the head
    lip           0..1, the red of the lips
    brow, lid_upper, lid_lower  heights of the eyebrow and of the lids' margins in that column
    """

    def __init__(self, base: Head) -> None:
        rows = np.linspace(TOP, BOTTOM, HEIGHT)
        columns = np.linspace(-np.pi, np.pi, WIDTH)
        self.angle, self.y = (a.astype(np.float32) for a in np.meshgrid(columns, rows))
        faces = base.skin_faces
        wide = np.ptp(base.angle[faces], axis=1) > 3  # across the seam behind the head
        faces = faces[~wide]
        radius = np.hypot(base.points[:, 0], base.points[:, 2] - AXIS_Z)
        places = np.stack(
            [
                (base.angle / np.pi + 1) / 2 * (WIDTH - 1),
                (base.points[:, 1] - TOP) / (BOTTOM - TOP) * (HEIGHT - 1),
                radius,
            ],
            1,
        ).astype(np.float32)
        triangle, weights, _ = visible_triangles(places, faces, np.ones(len(faces), bool), WIDTH)
        carried = np.stack([base.points[:, 0], base.lip], 1).astype(np.float32)
        found = interpolate(triangle, weights, faces, carried)[:HEIGHT]
        painted = (triangle[:HEIGHT] >= 0) & (np.cos(self.angle) > 0.05)
        self.x = np.where(painted, found[:, :, 0], 9.0).astype(np.float32)
        self.ax = np.abs(self.x)
        self.lip = gaussian_filter(np.where(painted, found[:, :, 1], 0), 1.0).astype(np.float32)
        self.brow, self.lid_upper, self.lid_lower = (
            curve(self.ax).astype(np.float32) for curve in (brow_centre, lid_upper, lid_lower)
        )
        self.left, self.right = self.angle < 0, self.angle > 0

    def texel(self, x: float, y: float) -> tuple[int, int]:
        """Row and column of a frontal point."""
        row = int(np.clip((y - TOP) / (BOTTOM - TOP) * (HEIGHT - 1), 0, HEIGHT - 1))
        return row, int(np.argmin(np.abs(self.x[row] - x)))

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
        out = np.zeros(SHAPE, np.float32)
        out[near] = strength * np.exp(-((distance / width) ** 2)) * taper
        return out


@lru_cache(maxsize=1)
def texture_space() -> TextureSpace:
    """The one texture space, made on first use."""
    return TextureSpace(head())


def smooth_noise(
    rng: np.random.Generator, sigma: float | tuple[float, float], shape: tuple[int, int] = SHAPE
) -> Array:
    """Noise of mean 0 and deviation 1, its grains about `sigma` texels (rows, columns) wide."""
    sigmas = np.broadcast_to(np.asarray(sigma, float), (2,))
    # drawn small and enlarged: much cheaper than filtering at full size
    small = [max(4, math.ceil(n / max(1.0, s * 0.7))) for n, s in zip(shape, sigmas, strict=True)]
    grains = gaussian_filter(rng.standard_normal(small, dtype=np.float32), 0.8, mode="wrap")
    noise = _enlarge(_enlarge(grains, shape[1]).T, shape[0]).T
    return (noise - noise.mean()) / (noise.std() + 1e-6)


def _enlarge(rows: Array, count: int) -> Array:
    """Stretch each row to `count` values, linearly, its ends joined."""
    place = np.arange(count) * (rows.shape[1] / count)
    left = place.astype(int)
    share = (place - left).astype(np.float32)
    return rows[:, left] * (1 - share) + rows[:, (left + 1) % rows.shape[1]] * share
