"""Hair on the head: its colour and cut, the hair line, and the scalp under it."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from expr_lib.sources.synthetic.canonical import Array, smoothstep
from expr_lib.sources.synthetic.skin import Canvas
from expr_lib.sources.synthetic.texture import TextureSpace, smooth_noise

Rng = np.random.Generator

COLOURS = {
    "black": (0.012, 0.010, 0.009),
    "dark": (0.030, 0.018, 0.011),
    "brown": (0.075, 0.040, 0.020),
    "light": (0.155, 0.082, 0.036),
    "blond": (0.37, 0.235, 0.105),
    "red": (0.20, 0.065, 0.022),
    "grey": (0.22, 0.21, 0.205),
    "white": (0.50, 0.49, 0.47),
}


@dataclass(frozen=True)
class Cut:
    """How hair is worn; lengths in eye distances.

    top, sides  range of the strands' length on the crown, and the share of it at the sides
    comb        direction in which it lies: x outwards from the parting, y down, z forwards
    lift        how far it stands up before it falls
    gravity     how fast it bends down
    strands     how many are drawn
    tied        drawn together behind the head
    fringe      height to which it falls over the forehead, 0 for none
    """

    top: tuple[float, float]
    sides: float
    comb: tuple[float, float, float]
    lift: float
    gravity: float
    strands: int
    tied: bool = False
    fringe: float = 0.0
    curl: float = 0.0


CUTS = {
    "shaved": Cut((0.0, 0.0), 1.0, (0, 0, 0), 1.0, 0.0, 0),
    "buzz": Cut((0.06, 0.09), 0.9, (0.2, 0.2, 0.2), 0.9, 0.0, 4600),
    "short": Cut((0.30, 0.50), 0.40, (0.5, 0.1, 0.55), 0.55, 0.10, 4600),
    "crop": Cut((0.32, 0.50), 0.35, (0.15, 0.35, 0.9), 0.30, 0.18, 4600),
    "swept": Cut((0.60, 0.95), 0.30, (0.25, -0.15, -0.85), 0.75, 0.10, 4600),
    "side": Cut((0.60, 0.90), 0.35, (0.9, 0.25, 0.15), 0.40, 0.18, 4600),
    "curls": Cut((0.55, 0.90), 0.70, (0.3, 0.2, 0.2), 0.80, 0.10, 5000, curl=0.10),
    "afro": Cut((0.35, 1.00), 0.90, (0.05, 0.0, 0.0), 1.50, 0.0, 5000, curl=0.06),
    "tied": Cut((0.0, 0.0), 1.0, (0, 0, -1), 0.1, 0.0, 4400, tied=True),
    "long": Cut((2.9, 4.6), 1.0, (0.9, 0.35, -0.15), 0.25, 0.20, 4000),
    "wavy": Cut((2.6, 4.2), 1.0, (0.9, 0.30, -0.10), 0.40, 0.18, 4000, curl=0.05),
    "bob": Cut((1.9, 2.5), 1.0, (0.9, 0.40, -0.10), 0.35, 0.22, 4400),
    "fringed": Cut((2.6, 4.2), 1.0, (0.8, 0.40, -0.15), 0.25, 0.20, 4000, fringe=-0.38),
}
_MEN = {"short": 0.26, "crop": 0.17, "side": 0.15, "swept": 0.12, "buzz": 0.15, "shaved": 0.08}
_MEN |= {"curls": 0.07}
_WOMEN = {"tied": 0.15, "long": 0.23, "wavy": 0.19, "bob": 0.17, "fringed": 0.14, "curls": 0.06}
_WOMEN |= {"short": 0.06}
_AFRICAN_MEN = {"buzz": 0.5, "afro": 0.25, "shaved": 0.15, "curls": 0.10}
_AFRICAN_WOMEN = {"afro": 0.35, "tied": 0.30, "buzz": 0.10, "wavy": 0.15, "curls": 0.10}
_LINE_DEGREES = (0, 18, 34, 46, 54, 60, 68, 76, 86, 100, 130, 180)


@dataclass(frozen=True)
class Hair:
    """A person's hair.

    colour_name  one of COLOURS; `colour` its linear RGB
    cut          one of CUTS; `length` on the crown, eye distances
    line         height of the hair line at _LINE_DEGREES around the head
    parting      canonical x from which hair falls to both sides
    curl         size of the curls, eye distances
    receding     how far a man's hair line has gone back, 0..1
    """

    colour_name: str
    colour: Array
    cut: str
    length: float
    line: Array
    parting: float
    curl: float
    messy: float
    receding: float

    def line_height(self, angle: Array) -> Array:
        """Height of the hair line around the head."""
        return PchipInterpolator(_LINE_DEGREES, self.line)(np.abs(np.rad2deg(angle)))


def draw_hair(rng: Rng, male: bool, years: float, african: float, asian: float) -> Hair:
    """Draw colour and cut.

    african, asian  0..1, share of that descent
    """
    name = _draw_colour_name(rng, years, african + asian)
    colour = np.array(COLOURS[name]) * np.exp(0.15 * rng.standard_normal())
    men, women = (_AFRICAN_MEN, _AFRICAN_WOMEN) if african > 0.6 else (_MEN, _WOMEN)
    cuts = men if male else women
    shares = np.array(list(cuts.values()))
    cut = str(rng.choice(list(cuts), p=shares / shares.sum()))
    if years < 14 and cut == "shaved":
        cut = "short"
    receding = float(np.clip((years - 30) / 50, 0, 1) * rng.random()) if male else 0.0
    return Hair(
        colour_name=name,
        colour=colour,
        cut=cut,
        length=float(rng.uniform(*CUTS[cut].top)),
        line=_draw_line(rng, male, receding),
        parting=float(rng.choice([0.0, -0.35, 0.35], p=[0.4, 0.3, 0.3]) + 0.06 * rng.normal()),
        curl=CUTS[cut].curl * float(rng.uniform(0.7, 1.3)),
        messy=float(rng.uniform(0.06, 0.22)),
        receding=receding,
    )


def _draw_colour_name(rng: Rng, years: float, dark: float) -> str:
    if rng.random() < np.clip((years - 44) / 32, 0, 0.95):
        return "white" if rng.random() < np.clip((years - 55) / 30, 0, 0.8) else "grey"
    if dark > 0.5:
        return str(rng.choice(["black", "dark"], p=[0.7, 0.3]))
    names = ["black", "dark", "brown", "light", "blond", "red"]
    return str(rng.choice(names, p=[0.12, 0.25, 0.30, 0.14, 0.13, 0.06]))


def _draw_line(rng: Rng, male: bool, receding: float) -> Array:
    line = np.array([-1.05, -1.03, -0.95, -0.78, -0.52, -0.22, 0.10, 0.30, 0.05, 0.35, 1.1, 1.35])
    line[:5] += rng.normal(0, 0.055)
    if male:
        line[1:5] -= (0.05 + 0.35 * receding) * np.array([0.8, 1.2, 0.9, 0.4])
        line[0] -= 0.25 * receding
    else:
        line[5:8] -= np.array([0.06, 0.16, 0.30])
    return line


def paint_scalp(canvas: Canvas, space: TextureSpace, rng: Rng, hair: Hair) -> Array:
    """Paint the skin under the hair in its colour; returns its cover (HEIGHT, WIDTH), 0..1."""
    line = hair.line_height(space.angle[0])[None]
    ragged = 0.02 * smooth_noise(rng, (60, 1.0)) + 0.025 * smooth_noise(rng, (40, 6.0))
    soft = 0.13 if hair.cut == "buzz" else 0.09
    cover = smoothstep(-soft * 0.3, soft, line + ragged - space.y)
    amount = {"shaved": 0.14, "buzz": 0.70, "tied": 0.93}.get(hair.cut, 0.90)
    cover = cover * amount
    cover *= 1 - 0.35 * hair.receding * smoothstep(-0.9, -1.5, space.y)
    cover = np.clip(cover * (1 + 0.10 * smooth_noise(rng, 1.6)), 0, 1).astype(np.float32)
    canvas.lay(hair.colour * (1.0 if hair.cut in ("shaved", "buzz") else 0.6), cover)
    canvas.relief += 0.003 * cover * smooth_noise(rng, 1.6)
    return cover
