"""Hair: its colour and cut, the scalp hair on the head, eyebrows and beard."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter

from expr_lib.sources.synthetic.canonical import Array, brow_centre, bump, smoothstep
from expr_lib.sources.synthetic.skin import Canvas
from expr_lib.sources.synthetic.template import Template
from expr_lib.sources.synthetic.texture import WIDTH, TextureSpace, smooth_noise

Rng = np.random.Generator

COLOURS = {
    "black": (0.012, 0.010, 0.009),
    "dark": (0.030, 0.018, 0.011),
    "brown": (0.075, 0.040, 0.020),
    "light": (0.16, 0.095, 0.045),
    "blond": (0.36, 0.24, 0.11),
    "red": (0.20, 0.065, 0.022),
    "grey": (0.30, 0.29, 0.28),
}
_CUTS_MEN = {"short": 0.45, "crop": 0.2, "buzz": 0.13, "bald": 0.10, "swept": 0.12}
_CUTS_WOMEN = {"back": 0.32, "long": 0.30, "long fringe": 0.16, "bob": 0.14, "short": 0.08}
HANGING = ("long", "long fringe", "bob")
"""Cuts that fall over the shoulders, on a mesh of their own."""
_FRINGED = ("long fringe", "crop")
SHAVED = ("buzz", "bald")
# softness of the hair line; thickness range, both in eye distances
_LINE_SOFTNESS = {"buzz": 0.14, "short": 0.10, "swept": 0.11, "back": 0.12, "long": 0.11}
_LINE_SOFTNESS |= {"crop": 0.05, "bob": 0.09}
_THICKNESS = {
    "buzz": (0.03, 0.03),
    "bald": (0.0, 0.0),
    "short": (0.10, 0.22),
    "crop": (0.08, 0.16),
    "swept": (0.14, 0.26),
    "back": (0.06, 0.12),
    "long": (0.12, 0.2),
    "long fringe": (0.12, 0.2),
    "bob": (0.14, 0.22),
}
_LINE_DEGREES = (0, 18, 34, 46, 54, 60, 68, 74, 82, 100, 130, 180)


@dataclass(frozen=True)
class Curtain:
    """Hair that hangs beside the face: length, waves, and where it begins (degrees)."""

    length: float
    wave: float
    frequency: float
    phase: float
    front: float
    tips_seed: int


@dataclass(frozen=True)
class Hair:
    """A person's hair.

    colour_name  one of COLOURS; `colour` its linear RGB
    cut          how it is worn
    line         height of the hair line at _LINE_DEGREES around the head
    sweep        how far the line runs down to one side
    """

    colour_name: str
    colour: Array
    cut: str
    curly: bool
    line: Array
    sweep: float
    parting: float
    unruly: float
    thickness: float
    curtain: Curtain | None

    def line_height(self, angle: Array) -> Array:
        """Height of the hair line around the head."""
        line = PchipInterpolator(_LINE_DEGREES, self.line)(np.abs(np.rad2deg(angle)))
        return line + self.sweep * np.sin(2.2 * angle) * smoothstep(1.25, 0.75, np.abs(angle))


def draw_hair(rng: Rng, male: bool, age: float, tone: float) -> Hair:
    """Draw colour and cut."""
    name = _draw_colour_name(rng, age, tone)
    colour = np.array(COLOURS[name]) * np.exp(0.15 * rng.standard_normal())
    cuts = _CUTS_MEN if male else _CUTS_WOMEN
    cut = str(rng.choice(list(cuts), p=list(cuts.values())))
    curly = rng.random() < (0.55 if tone > 0.55 else 0.15) and cut not in (*SHAVED, "back")
    low, high = _THICKNESS[cut]
    thickness = rng.uniform(low, high)
    return Hair(
        colour_name=name,
        colour=colour,
        cut=cut,
        curly=curly,
        line=_draw_line(rng, cut, male, age),
        sweep=0.0 if cut in ("crop", "back", *SHAVED) else rng.normal(0, 0.11),
        parting=rng.uniform(-0.5, 0.5),
        unruly=1.6 if rng.random() < 0.35 else 0.5,
        thickness=thickness * 1.3 + 0.05 if curly else thickness,
        curtain=_draw_curtain(rng, cut, curly) if cut in HANGING else None,
    )


def _draw_colour_name(rng: Rng, age: float, tone: float) -> str:
    if age > 0.72 and rng.random() < 0.7:
        return "grey"
    if tone > 0.5:
        return str(rng.choice(["black", "dark"], p=[2 / 3, 1 / 3]))
    names = ["black", "dark", "brown", "light", "blond", "red"]
    return str(rng.choice(names, p=[0.15, 0.25, 0.3, 0.12, 0.12, 0.06]))


def _draw_line(rng: Rng, cut: str, male: bool, age: float) -> Array:
    line = np.array([-1.10, -1.08, -0.98, -0.79, -0.50, -0.22, 0.02, 0.22, 0.10, 0.35, 1.1, 1.25])
    if cut == "swept" or (male and rng.random() < 0.35):
        line[1:4] -= [0.06, 0.12, 0.06]  # receding temples
    if cut in _FRINGED:
        depth = rng.uniform(0.05, 0.2) if cut == "crop" else rng.uniform(0.22, 0.5)
        line[:5] = [-1.05, -1.05, -1.0, -0.86, -0.52]
        line[:5] += depth * np.array([1, 1, 1, 0.7, 0.1])
    if not male:
        line[6:8] -= 0.12
    line[:5] += rng.uniform(-0.05, 0.06) - (0.16 * age if male else 0)
    return line


def _draw_curtain(rng: Rng, cut: str, curly: bool) -> Curtain:
    return Curtain(
        length=rng.uniform(1.35, 1.75) if cut == "bob" else rng.uniform(2.75, 3.4),
        wave=rng.uniform(0.0, 0.05) * (2 if curly else 1),
        frequency=rng.uniform(3, 9),
        phase=rng.uniform(0, 2 * np.pi),
        front=rng.uniform(62, 80),
        tips_seed=int(rng.integers(1 << 30)),
    )


def paint_scalp(canvas: Canvas, space: TextureSpace, rng: Rng, hair: Hair) -> Array:
    """Paint the hair on the head; returns its cover (HEIGHT, WIDTH), 0..1."""
    line = hair.line_height(space.angle[0])[None]
    fine, middle = smooth_noise(rng, (60, 1.0)), smooth_noise(rng, (90, 3.0))
    coarse = smooth_noise(rng, (110, 12.0))
    # strands: vertical streaks, sheared sideways by the parting
    shear = hair.parting * 110 * smoothstep(0.2, -1.6, space.y)
    shear += 10 * hair.unruly * smooth_noise(rng, (50, 40))
    columns: Array = (np.arange(WIDTH)[None] + shear.astype(int)) % WIDTH
    if hair.cut in SHAVED:
        strands = smooth_noise(rng, 1.6)
    elif hair.curly:
        strands = 0.7 * smooth_noise(rng, 3.0) + 0.7 * smooth_noise(rng, 6.0)
    else:
        strands = np.take_along_axis(0.45 * fine + 0.6 * middle + 0.5 * coarse, columns, 1)
    if hair.cut in _FRINGED:
        edge = line + 0.030 * middle + 0.030 * fine + 0.045 * coarse
    else:
        edge = line + 0.010 * middle + 0.020 * fine + 0.03 * coarse
    soft = _LINE_SOFTNESS.get(hair.cut, 0.04)
    cover = smoothstep(-soft, soft, edge - space.y)
    if hair.cut == "bald":
        cover *= 0.12
    if hair.cut == "buzz":
        cover *= 0.62 + 0.10 * strands
    cover = np.clip(cover, 0, 1).astype(np.float32)
    contrast = 0.20 if hair.colour_name in ("grey", "blond") else 0.30
    lit = (0.62 + 0.38 * smoothstep(0.0, 0.35, line - space.y)) * np.exp(contrast * strands)
    canvas.lay(hair.colour, cover, lit)
    if hair.cut not in SHAVED:
        locks = np.take_along_axis(smooth_noise(rng, (70, 11)), columns, 1)
        canvas.relief += cover * 0.016 * locks
    canvas.relief += cover * strands * (0.009 if hair.curly else 0.0045)
    return cover


def hair_offset(template: Template, rng: Rng, hair: Hair, male: bool) -> Array:
    """How far the hair stands off the head at each vertex of the grid, eye distances."""
    angle, y = template.angle[: template.grid], template.y[: template.grid]
    above_line = hair.line_height(angle) - y
    sides = 0.28 if male else 0.5
    top = sides + (1.3 - sides) * smoothstep(-0.5, -1.5, y)
    fuzz = rng.standard_normal((template.rows, template.columns))
    fuzz = gaussian_filter(fuzz, (1.5, 0.8)).ravel() * 0.35
    tufts = np.interp(angle, np.linspace(-np.pi, np.pi, 40), np.r_[rng.standard_normal(39), 0])
    lumps = 1 + fuzz + 0.14 * tufts * smoothstep(0.0, 0.3, above_line)
    return hair.thickness * smoothstep(0.0, 0.30, above_line) * top * lumps


def paint_brows(canvas: Canvas, space: TextureSpace, rng: Rng, hair: Hair, male: bool) -> None:
    """Eyebrows: slanting hairs along the arch."""
    x, y, ax = space.x, space.y, space.ax
    centre = brow_centre(ax)
    outline = ([0.14, 0.20, 0.4, 0.7, 0.95, 0.99], [0.024, 0.064, 0.062, 0.048, 0.018, 0.004])
    thickness = np.interp(ax, *outline) * (1.18 if male else 0.85)
    thickness *= np.exp(0.28 * rng.standard_normal())
    profile = np.exp(-(np.abs((y - centre) / thickness) ** 2.6))
    profile *= smoothstep(0.13, 0.22, ax) * smoothstep(1.0, 0.92, ax)
    clumps = smooth_noise(rng, (3, 3))
    slant = np.round((y - centre) * 260 * np.sign(x + 1e-9)).astype(int)
    hairs = gaussian_filter(rng.random(WIDTH)[(np.arange(WIDTH)[None] + slant) % WIDTH], 0.7)
    hairs = (hairs - hairs.mean()) / hairs.std()
    density = profile * (0.95 + 0.13 * hairs + 0.10 * clumps) * rng.uniform(0.55, 1.05)
    shade = 0.45 if hair.colour_name in ("blond", "grey") else 0.8
    canvas.lay(hair.colour * shade, np.clip(density, 0, 0.95))


def paint_beard(
    canvas: Canvas, space: TextureSpace, rng: Rng, hair: Hair, skin_colour: Array
) -> None:
    """A man's beard, or its shadow."""
    x, y, ax = space.x, space.y, space.ax
    jaw = smoothstep(0.62, 1.05, y - 0.18 * np.cos(ax * 2.2))
    jaw *= smoothstep(0.30, 0.52, np.maximum(ax, (y - 1.22) * 3))
    jaw = np.maximum(jaw, smoothstep(1.24, 1.36, y) * smoothstep(0.5, 0.3, ax))
    lip = smoothstep(0.76, 0.84, y - 0.25 * np.clip(ax - 0.1, 0, 1))
    lip *= smoothstep(1.02, 0.93, y - 0.35 * ax) * smoothstep(0.56, 0.40, ax)
    lip *= 1 - 0.5 * bump(x, y, 0, 0.85, 0.035, 0.2)
    kinds = ["none", "stubble", "beard", "moustache", "goatee"]
    kind = str(rng.choice(kinds, p=[0.38, 0.32, 0.16, 0.06, 0.08]))
    facing = np.cos(space.angle) > 0
    if kind == "moustache":
        mask = gaussian_filter(lip * (1 - space.lip), 2)
    else:
        whole = np.clip(np.maximum(jaw, lip), 0, 1) * (1 - space.lip) * facing
        mask = gaussian_filter(whole, 3)
    if kind == "goatee":
        mask *= smoothstep(0.50, 0.38, ax)
    shadow = {"none": 0.10, "stubble": rng.uniform(0.2, 0.45)}
    amount = (shadow | {"beard": 0.74, "moustache": 0.62, "goatee": 0.70})[kind]
    amount *= 0.6 if hair.colour_name == "blond" else 1
    hairs = 0.5 * smooth_noise(rng, (3.5, 1.1)) + 0.5 * smooth_noise(rng, (1.5, 1.0))
    colour = hair.colour * 0.9 + 0.10 * skin_colour * (kind in shadow)
    canvas.lay(colour, np.clip(mask * amount * (1 + 0.18 * hairs), 0, 0.95))
    canvas.relief += (mask * amount * 0.010 * hairs).astype(np.float32)


def strand_texture(rng: Rng, curly: bool) -> Array:
    """Streaks of the hanging hair, (256, 768), about -2..2."""
    shape = (256, 768)
    if curly:
        return 0.6 * smooth_noise(rng, (8, 4), shape) + 0.6 * smooth_noise(rng, (14, 7), shape)
    streaks = 0.5 * smooth_noise(rng, (60, 1.2), shape) + 0.6 * smooth_noise(rng, (80, 4), shape)
    return streaks + 0.4 * smooth_noise(rng, (40, 14), shape)
