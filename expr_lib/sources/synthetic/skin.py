"""Painting the skin: tone, flush, shade, spots and lips, in linear light."""

from dataclasses import dataclass, field

import numpy as np

from expr_lib.sources.synthetic.canonical import (
    SLIT,
    Array,
    bump,
    bump_pair,
    ridge,
    smoothstep,
)
from expr_lib.sources.synthetic.texture import (
    COLUMN_STEP,
    ROW_STEP,
    SHAPE,
    TextureSpace,
    smooth_noise,
)

Rng = np.random.Generator

# light to dark, linear RGB; about the Monk scale's range
_PALETTE = np.array(
    [
        [0.70, 0.47, 0.385],
        [0.63, 0.395, 0.300],
        [0.52, 0.305, 0.210],
        [0.38, 0.205, 0.130],
        [0.24, 0.122, 0.073],
        [0.115, 0.058, 0.037],
    ]
)
_FLUSH_TINT = (-0.06, 0.17, 0.15)
# parts of the face that are a little lighter or darker in each person: cx, cy, sx, sy
_SHADED_PARTS = (
    (0.0, -0.7, 0.6, 0.25),
    (0.45, -0.20, 0.25, 0.10),
    (0.45, 0.20, 0.22, 0.10),
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
    tint = [1, 1 + 0.06 * rng.standard_normal(), 1 + 0.09 * rng.standard_normal()]
    return colour * brightness * np.array(tint)


def paint_complexion(
    space: TextureSpace, rng: Rng, colour: Array, tone: float, age: float
) -> Canvas:
    """A fresh canvas with the skin's colour, its flush, shades and spots.

    age  0 child .. 1 old
    """
    x, y = space.x, space.y
    canvas = Canvas(np.ones((3, *SHAPE), np.float32) * colour.astype(np.float32)[:, None, None])
    flush = rng.uniform(0.0, 1.5) * (1 - 0.6 * tone)
    red = 0.8 * bump_pair(x, y, 0.62, 0.50, 0.30, 0.24) + 0.45 * bump(x, y, 0, 0.5, 0.20, 0.16)
    red += 0.3 * bump_pair(x, y, 0.9, 0.25, 0.25, 0.3) + 0.3 * bump(x, y, 0, 1.55, 0.2, 0.15)
    red += 0.18 * smooth_noise(rng, 26) + 0.08 * smooth_noise(rng, 8)
    canvas.dim(flush * red, _FLUSH_TINT)
    orbit = bump_pair(x, y, 0.42, 0.19, 0.17, 0.09) + 0.7 * bump_pair(x, y, 0.50, -0.10, 0.24, 0.06)
    orbit += 0.6 * bump_pair(x, y, 0.27, 0.03, 0.07, 0.12)
    orbit *= rng.uniform(0.0, 0.50) * (0.6 + 0.7 * age)
    canvas.dim(orbit, (0.88, 1.0, 0.92))
    mottle = (0.018 + 0.02 * age) * smooth_noise(rng, 14) + 0.014 * smooth_noise(rng, 5)
    canvas.dim(mottle + 0.014 * smooth_noise(rng, 2))
    shade = np.zeros(SHAPE, np.float32)
    for part in _SHADED_PARTS:
        shade += rng.normal(0, 0.10) * bump_pair(x, y, *part)
    canvas.dim(shade)
    canvas.dim(0.30 * smoothstep(1.88, 2.08, y) * smoothstep(1.2, 0.7, np.abs(space.angle)))
    canvas.dim(_spots(space, rng, tone, age), (0.55, 0.75, 0.85))
    return canvas


def _spots(space: TextureSpace, rng: Rng, tone: float, age: float) -> Array:
    """Freckles, moles, and the spots of age."""
    spots = np.zeros(SHAPE, np.float32)
    freckles = int(rng.choice([0, 0, 0, 40, 160]) * (1 - tone)) + int(rng.integers(1, 6))
    moles, stains = 3, int(12 * max(0.0, age - 0.55) * rng.random() * 2)
    for i in range(freckles + stains):
        mole, stain = i < moles, i >= freckles
        x = rng.uniform(-0.9, 0.9)
        y = rng.normal(0.30, 0.28) if not (mole or stain) else rng.uniform(-0.8, 1.6)
        radius = rng.uniform(0.010, 0.016) if mole else rng.uniform(0.006, 0.013)
        radius = rng.uniform(0.02, 0.06) if stain else radius
        row, column = space.texel(x, y)
        around = (slice(max(row - 12, 0), row + 13), slice(max(column - 12, 0), column + 13))
        spot = bump(space.x[around], space.y[around], x, y, radius, radius)
        strength = rng.uniform(0.10, 0.25) if stain else rng.uniform(0.2, 0.55)
        spots[around] = np.maximum(spots[around], spot * strength)
    return spots


def paint_lips(
    canvas: Canvas, space: TextureSpace, rng: Rng, colour: Array, tone: float, makeup: bool
) -> None:
    """Red of the lips, sometimes painted; lines across them."""
    red = colour * np.array([rng.uniform(0.62, 0.82), *rng.uniform(0.36, 0.56, 2) * [1, 1.15]])
    red += np.array([0.020, 0.004, 0.010]) * tone  # dark lips are pink inside
    # the upper lip looks down, and is the browner one of a dark skin
    shade = np.where(space.y < SLIT, np.float32(0.84 - 0.14 * tone), np.float32(1.0))
    opacity = rng.uniform(0.55, 1.0)
    if makeup:
        stick = [rng.uniform(0.22, 0.50), rng.uniform(0.04, 0.12), rng.uniform(0.05, 0.14)]
        red = red * 0.5 + 0.5 * np.array(stick) * (1 - 0.5 * tone)
        opacity = 0.88
    shade *= 1 + 0.05 * smooth_noise(rng, (18, 2))
    cover = smoothstep(0.25, 0.75, space.lip)
    canvas.lay(red, cover * opacity, shade)
    seam = ridge(space.y, SLIT, 0.011) * smoothstep(0.44, 0.34, space.ax)
    canvas.dim(0.5 * seam)
    below = bump(space.x, space.y, 0, 1.315, 0.22, 0.045) * (1 - cover)
    canvas.dim(0.20 * below)  # light hardly reaches the hollow under the lower lip
    canvas.relief += 0.0016 * cover.astype(np.float32) * smooth_noise(rng, (16, 2))


def paint_nostrils(canvas: Canvas, space: TextureSpace) -> None:
    """The dark of the nostrils."""
    canvas.dim(0.85 * bump_pair(space.x, space.y, 0.13, 0.652, 0.055, 0.024), (0.85, 1.0, 1.0))


def paint_lids(canvas: Canvas, space: TextureSpace, rng: Rng, makeup: bool, asian: float) -> None:
    """Redder lids and corners of the eye, and the crease of the lid; sometimes make-up."""
    x, y = space.x, space.y
    canvas.dim(0.30 * bump_pair(x, y, 0.30, 0.045, 0.045, 0.035), (0.0, 0.7, 0.6))
    canvas.dim(0.16 * bump_pair(x, y, 0.52, 0.10, 0.22, 0.025), (0.1, 0.8, 0.7))
    upper = ridge(y, space.lid_upper - 0.006, 0.013) * smoothstep(0.29, 0.36, space.ax)
    upper *= smoothstep(0.76, 0.70, space.ax)
    lower = ridge(y, space.lid_lower + 0.006, 0.010) * smoothstep(0.36, 0.5, space.ax)
    lower *= smoothstep(0.75, 0.70, space.ax)
    canvas.dim((0.80 if makeup else 0.55) * upper)
    canvas.dim((0.45 if makeup else 0.22) * lower)
    depth = rng.uniform(0.25, 0.6) * (1 - 0.8 * asian)
    arch = smoothstep(0.30, 0.50, space.ax) * smoothstep(0.80, 0.60, space.ax)
    arch *= rng.uniform(0.030, 0.055)
    crease = ridge(y, space.lid_upper - 0.012 - arch, 0.009) * smoothstep(0.33, 0.40, space.ax)
    canvas.dim(depth * crease * smoothstep(0.78, 0.68, space.ax), (0.9, 1.0, 1.0))
    if makeup:
        tint = (rng.uniform(0.6, 1.0), rng.uniform(0.7, 1.0), rng.uniform(0.5, 1.0))
        canvas.dim(rng.uniform(0.15, 0.75) * bump_pair(x, y, 0.54, -0.085, 0.24, 0.065), tint)


def add_pores(canvas: Canvas, space: TextureSpace, rng: Rng, age: float) -> None:
    """Fine relief of the skin, coarser with age."""
    canvas.relief += 0.0004 * smooth_noise(rng, 1.6)
    canvas.relief += 0.0009 * smooth_noise(rng, 3.5) * (0.25 + age)
    canvas.relief += 0.0020 * smooth_noise(rng, 9.0) * max(0.0, age - 0.4)
