"""Painting the skin: tone, flush, shade, spots, lips, nostrils and lids, in linear light."""

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter

from expr_lib.sources.synthetic.canonical import SLIT, Array, bump, bump_pair, ridge, smoothstep
from expr_lib.sources.synthetic.texture import (
    COLUMN_STEP,
    ROW_STEP,
    SHAPE,
    TextureSpace,
    smooth_noise,
)

Rng = np.random.Generator

# light to dark, linear RGB
_PALETTE = np.array(
    [
        [0.68, 0.44, 0.355],
        [0.61, 0.375, 0.285],
        [0.50, 0.295, 0.205],
        [0.37, 0.20, 0.13],
        [0.24, 0.124, 0.075],
        [0.145, 0.073, 0.045],
    ]
)
_FLUSH_TINT = (-0.10, 0.16, 0.14)
_FOLD_TINT = (0.75, 1.0, 1.0)
_LASH_COLOUR = np.array([0.02, 0.015, 0.012])
# parts of the face that are a little lighter or darker in each person: cx, cy, sx, sy
_SHADED_PARTS = (
    (0.0, -0.7, 0.6, 0.25),
    (0.45, -0.20, 0.25, 0.10),
    (0.45, 0.18, 0.22, 0.10),
    (0.65, 0.55, 0.28, 0.28),
    (0.0, 0.45, 0.2, 0.3),
    (0.30, 0.72, 0.14, 0.20),
    (0.0, 0.85, 0.2, 0.10),
    (0.0, 1.33, 0.25, 0.09),
    (0.0, 1.6, 0.25, 0.2),
    (0.85, 1.0, 0.3, 0.45),
)


@dataclass
class Canvas:
    """What is painted on the head in texture space.

    albedo  (3, HEIGHT, WIDTH) linear RGB
    relief  (HEIGHT, WIDTH) height of the fine relief, eye distances
    """

    albedo: Array
    relief: Array = field(default_factory=lambda: np.zeros(SHAPE, np.float32))

    def dim(self, amount: Array, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> None:
        """Darken each channel by `amount` (HEIGHT, WIDTH) times its tint."""
        amount = amount.astype(np.float32)
        for channel, share in zip(self.albedo, tint, strict=True):
            channel *= 1 - np.float32(share) * amount

    def lay(self, colour: Array, cover: Array, shade: Array | float = 1.0) -> None:
        """Lay linear RGB (3,) over the paint where `cover` says so, times `shade`, both maps."""
        cover = cover.astype(np.float32)
        shade = np.asarray(shade, np.float32)
        for channel, level in zip(self.albedo, colour, strict=True):
            channel += cover * (np.float32(level) * shade - channel)

    def relief_slopes(self) -> tuple[Array, Array]:
        """Slopes of the relief along x and y."""
        return (
            np.gradient(self.relief, axis=1) / COLUMN_STEP,
            np.gradient(self.relief, axis=0) / ROW_STEP,
        )


def draw_skin_colour(rng: Rng, tone: float) -> Array:
    """Linear RGB of a skin of the given tone, 0 light .. 1 dark, a little different in each."""
    steps = np.arange(len(_PALETTE))
    colour = np.array([np.interp(tone * 5, steps, _PALETTE[:, c]) for c in range(3)])
    brightness = np.exp(rng.standard_normal() * 0.10)
    tint = [1, 1 + 0.06 * rng.standard_normal(), 1 + 0.07 * rng.standard_normal()]
    return colour * brightness * np.array(tint)


def paint_complexion(
    space: TextureSpace, rng: Rng, colour: Array, tone: float, age: float
) -> Canvas:
    """A fresh canvas with the skin's colour, its flush, shades and spots."""
    x, y = space.x, space.y
    canvas = Canvas(np.ones((3, *SHAPE), np.float32) * colour.astype(np.float32)[:, None, None])
    flush = rng.uniform(0.3, 1.2) * (1 - 0.6 * tone)
    red = 0.9 * bump_pair(x, y, 0.62, 0.50, 0.26, 0.22) + 0.45 * bump(x, y, 0, 0.5, 0.20, 0.16)
    red += 0.3 * bump_pair(x, y, 0.9, 0.25, 0.2, 0.3) + 0.3 * bump(x, y, 0, 1.55, 0.2, 0.15)
    red += 0.35 * smooth_noise(rng, 26) + 0.15 * smooth_noise(rng, 8)
    canvas.dim(flush * red, _FLUSH_TINT)
    orbit = bump_pair(x, y, 0.40, 0.15, 0.17, 0.10) + 0.6 * bump_pair(x, y, 0.48, -0.14, 0.24, 0.08)
    orbit += 0.7 * bump_pair(x, y, 0.27, 0, 0.08, 0.14)
    orbit += 0.3 * bump_pair(x, y, 0.72, 0.03, 0.10, 0.10)
    orbit *= rng.uniform(0.06, 0.46) * (0.7 + 0.6 * age)
    canvas.dim(orbit, (0.8, 1.0, 0.85))
    mottle = 0.030 * smooth_noise(rng, 14) + 0.020 * smooth_noise(rng, 5)
    canvas.dim(mottle + 0.018 * smooth_noise(rng, 2))
    shade = np.zeros(SHAPE, np.float32)
    for part in _SHADED_PARTS:
        shade += rng.normal(0, 0.07) * bump_pair(x, y, *part)
    canvas.dim(shade)
    canvas.dim(_spots(space, rng, tone), (0.55, 0.75, 0.85))
    return canvas


def _spots(space: TextureSpace, rng: Rng, tone: float) -> Array:
    """Freckles, and up to three moles."""
    spots = np.zeros(SHAPE, np.float32)
    freckles = int(rng.choice([0, 0, 20, 60, 200]) * (1 - tone)) + rng.integers(1, 6)
    for i in range(freckles):
        mole = i < 3
        x = rng.uniform(-0.9, 0.9)
        y = rng.uniform(-0.8, 1.6) if mole else rng.normal(0.35, 0.3)
        radius = rng.uniform(0.012, 0.018) if mole else rng.uniform(0.006, 0.012)
        row, column = space.texel(x, y)
        around = (slice(max(row - 6, 0), row + 7), slice(max(column - 6, 0), column + 7))
        spot = bump(space.x[around], space.y[around], x, y, radius, radius)
        spots[around] = np.maximum(spots[around], spot * rng.uniform(0.25, 0.6))
    return spots


def paint_lips(
    canvas: Canvas, space: TextureSpace, rng: Rng, colour: Array, tone: float, male: bool
) -> None:
    """Red of the lips, sometimes painted, and the dark line between them."""
    x, y, ax = space.x, space.y, space.ax
    red = colour * np.array([0.80, 0.50, 0.58]) * (1 - 0.10 * tone) + np.array([0.02, 0.004, 0.014])
    shade = np.where(y < SLIT, np.float32(0.78), np.float32(1.0))  # the upper lip looks down
    if not male and rng.random() < 0.45:
        stick = [rng.uniform(0.30, 0.55), rng.uniform(0.04, 0.14), rng.uniform(0.06, 0.16)]
        red = red * 0.5 + 0.5 * np.array(stick)
        opacity = 0.9
    else:
        opacity = rng.uniform(0.45, 0.8)
    shade *= 1 + 0.05 * smooth_noise(rng, (18, 2))
    canvas.lay(red, gaussian_filter(space.lip, 1.2) * opacity, shade)
    slit = ridge(y, SLIT, 0.010) * smoothstep(0.43, 0.34, ax)
    canvas.dim(0.55 * slit)
    canvas.dim(0.35 * bump_pair(x, y, 0.405, 1.07, 0.022, 0.022))


def paint_nostrils(canvas: Canvas, space: TextureSpace) -> None:
    """The nostrils and the crease around the wings of the nose."""
    nostril = np.clip(1.5 * bump_pair(space.x, space.y, 0.105, 0.652, 0.062, 0.026), 0, 1)
    canvas.dim(0.93 * nostril, (0.85, 1.0, 1.0))
    crease = space.stroke([(0.225, 0.46), (0.288, 0.54), (0.282, 0.63), (0.21, 0.69)], 0.020)
    crease += space.stroke([(0.0, 0.705), (0.1, 0.71), (0.19, 0.695)], 0.02, 0.5)
    crease = np.clip(crease, 0, 1)
    canvas.dim(0.42 * crease, _FOLD_TINT)
    canvas.relief -= (0.010 * crease).astype(np.float32)


def paint_lids(canvas: Canvas, space: TextureSpace, rng: Rng, male: bool) -> None:
    """The fold of the upper lid (faint in single-fold lids) and the lashes."""
    y, ax = space.y, space.ax
    single_fold = rng.random() < 0.25
    height = rng.uniform(0.045, 0.075)
    along = np.sin(np.pi * np.clip((ax - 0.28) / 0.44, 0, 1))
    fold = ridge(y, space.lid_upper - height * (0.35 + 0.65 * along), 0.013)
    fold *= smoothstep(0.29, 0.36, ax) * smoothstep(0.76, 0.66, ax) * (0.25 if single_fold else 1.0)
    canvas.dim(0.50 * fold, _FOLD_TINT)
    canvas.relief -= 0.010 * fold
    inside = smoothstep(0.27, 0.33, ax) * smoothstep(0.74, 0.68, ax)
    above = np.clip(space.lid_upper - y - 0.010, 0, 1)
    lash = np.exp(-above / (0.017 if male else 0.024)) * (y < space.lid_upper + 0.012) * inside
    lash = np.clip(lash * (0.55 + 0.45 * smoothstep(0.3, 0.65, ax)) * 1.25, 0, 1)
    lash *= np.clip(0.85 + 0.35 * smooth_noise(rng, (4, 1.2)), 0.2, 1)
    below = np.clip(y - space.lid_lower - 0.003, 0, 1)
    lower = np.exp(-below / 0.014) * (y > space.lid_lower - 0.01) * inside * 0.50
    canvas.lay(_LASH_COLOUR, np.clip(lash * (0.75 if male else 0.92), 0, 1))
    canvas.lay(_LASH_COLOUR, lower * (0.6 if male else 0.8))


def add_pores(canvas: Canvas, space: TextureSpace, rng: Rng, age: float) -> None:
    """Fine relief of the skin, coarser with age, and the furrows of the lips."""
    canvas.relief += 0.00035 * smooth_noise(rng, 1.6)
    canvas.relief += 0.0006 * smooth_noise(rng, 3.5) * (0.4 + age)
    canvas.relief += 0.0015 * space.lip * smooth_noise(rng, (16, 2))
