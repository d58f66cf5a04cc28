"""One drawn person: everything about a head that does not change with expression, view or light."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expr_lib.sources.synthetic import hair as hairdresser
from expr_lib.sources.synthetic import skin
from expr_lib.sources.synthetic.canonical import Array
from expr_lib.sources.synthetic.hair import Hair
from expr_lib.sources.synthetic.shape import draw_traits, shape_head
from expr_lib.sources.synthetic.template import template
from expr_lib.sources.synthetic.texture import texture_space

IRIS_COLOURS = {
    "brown": (0.055, 0.025, 0.010),
    "dark brown": (0.022, 0.010, 0.006),
    "hazel": (0.10, 0.065, 0.022),
    "green": (0.10, 0.12, 0.05),
    "blue": (0.10, 0.17, 0.26),
    "grey": (0.14, 0.17, 0.19),
}
# one stream of random numbers a part, so that new hair does not change old noses
_STREAMS = ("body", "skin", "hair", "scalp", "strands", "eyes", "clothes", "style", "studio")


@dataclass(frozen=True)
class Light:
    """A key light from one side, a weaker fill from the other, and light from everywhere.

    direction  towards the key light: x right, y down, z to the camera
    """

    direction: tuple[float, float, float] = (-0.30, -0.50, 0.80)
    key: float = 1.30
    fill: float = 0.20
    ambient: float = 0.30
    colour: tuple[float, float, float] = (1.0, 0.98, 0.95)
    exposure: float = 0.92


@dataclass(frozen=True)
class Clothes:
    """Shirt, neck and ears, which frame the face; eye distances, the ears' angle in radians."""

    shirt: Array
    v_neck: float
    neck_width: float
    ear_size: float
    ear_angle: float


@dataclass(frozen=True)
class Person:
    """One drawn person, determined by `seed` alone; pickled as the seed and drawn again.

    age           0 young .. 1 old; `tone` 0 light skin .. 1 dark
    vertices      (V, 3) the neutral head, the template's vertices, eye distances
    hair_offset   (rows * columns,) how far hair stands off the head, eye distances
    texture       (8, HEIGHT, WIDTH) linear RGB (3), hair, lip, depth inside the eye, slopes (2)
    strands       (256, 768) streaks of hanging hair, or None
    style         action unit -> how strongly this person moves it, about 1
    light         the studio light of this person's photos; `background` its linear RGB
    """

    seed: int
    male: bool = field(init=False)
    age: float = field(init=False)
    tone: float = field(init=False)
    vertices: Array = field(init=False, repr=False, compare=False)
    skin_colour: Array = field(init=False, repr=False, compare=False)
    hair: Hair = field(init=False, repr=False, compare=False)
    hair_offset: Array = field(init=False, repr=False, compare=False)
    texture: Tensor = field(init=False, repr=False, compare=False)
    strands: Tensor | None = field(init=False, repr=False, compare=False)
    oil: float = field(init=False, repr=False)
    iris_colour: Array = field(init=False, repr=False, compare=False)
    iris_pattern: Array = field(init=False, repr=False, compare=False)
    clothes: Clothes = field(init=False, repr=False, compare=False)
    style: dict[str, float] = field(init=False, repr=False, compare=False)
    light: Light = field(init=False, repr=False)
    background: tuple[float, float, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        body = self._stream("body")
        male = bool(body.random() < 0.5)
        age, tone = float(body.beta(1.6, 2.2)), float(body.random())
        self._set(male=male, age=age, tone=tone)
        traits = draw_traits(body, male, tone)
        self._set(vertices=shape_head(template(), traits, body))
        self._paint()
        self._draw_eyes()
        self._set(clothes=_draw_clothes(self._stream("clothes"), male))
        rng = self._stream("style")
        units = template().fields
        self._set(style={unit: float(np.exp(0.16 * rng.standard_normal())) for unit in units})
        light, background = _draw_studio(self._stream("studio"))
        self._set(light=light, background=background)

    def __reduce__(self) -> tuple[Any, ...]:
        return Person, (self.seed,)

    def _set(self, **values: Any) -> None:
        known = {item.name for item in fields(self)}
        for name, value in values.items():
            assert name in known, name
            object.__setattr__(self, name, value)

    def _stream(self, part: str) -> np.random.Generator:
        index = _STREAMS.index(part)
        return np.random.default_rng([7919, self.seed, index] if index else [7919, self.seed])

    def _paint(self) -> None:
        space, rng = texture_space(), self._stream("skin")
        colour = skin.draw_skin_colour(rng, self.tone)
        hair = hairdresser.draw_hair(self._stream("hair"), self.male, self.age, self.tone)
        canvas = skin.paint_complexion(space, rng, colour, self.tone, self.age)
        skin.paint_lips(canvas, space, rng, colour, self.tone, self.male)
        skin.paint_nostrils(canvas, space)
        skin.paint_lids(canvas, space, rng, self.male)
        skin.add_pores(canvas, space, rng, self.age)
        oil = rng.uniform(0.5, 1.3)
        rng = self._stream("scalp")
        offset = hairdresser.hair_offset(template(), rng, hair, self.male)
        hairdresser.paint_brows(canvas, space, rng, hair, self.male)
        if self.male:
            hairdresser.paint_beard(canvas, space, rng, hair, colour)
        cover = hairdresser.paint_scalp(canvas, space, rng, hair)
        layers = [*canvas.albedo, cover, space.lip, space.eye_depth]
        layers += canvas.relief_slopes()
        texture = torch.from_numpy(np.stack(layers).astype(np.float32))
        strands = None
        if hair.curtain is not None:
            streaks = hairdresser.strand_texture(self._stream("strands"), hair.curly)
            strands = torch.from_numpy(streaks)
        self._set(skin_colour=colour, hair=hair, hair_offset=offset, oil=oil)
        self._set(texture=texture, strands=strands)

    def _draw_eyes(self) -> None:
        rng = self._stream("eyes")
        if self.tone > 0.45 or self.hair.colour_name == "black":
            name = rng.choice(["brown", "dark brown"])
        else:
            name = rng.choice(list(IRIS_COLOURS), p=[0.27, 0.12, 0.15, 0.13, 0.22, 0.11])
        colour = np.array(IRIS_COLOURS[str(name)]) * np.exp(0.15 * rng.standard_normal())
        self._set(iris_colour=colour, iris_pattern=rng.random(64))

    @property
    def folds_at_rest(self) -> dict[str, float]:
        """Depth of the folds of the relaxed face."""
        squared = self.age**2
        return {
            "nasolabial": 0.10 + 0.45 * self.age,
            "undereye": 0.06 + 0.4 * self.age,
            "forehead": 0.45 * squared,
            "crow": 0.5 * squared,
            "glabella": 0.35 * squared,
            "marionette": 0.35 * squared,
            "chin": 0.12,
        }

    @property
    def fold_gain(self) -> float:
        """How deeply this skin folds when it moves."""
        return 0.35 + 0.65 * self.age


def _draw_clothes(rng: np.random.Generator, male: bool) -> Clothes:
    dark = np.array([0.02, 0.02, 0.022])
    bright = rng.uniform(0.02, 0.5, 3) * 0.5 + 0.25 * rng.random()
    return Clothes(
        shirt=dark if rng.random() < 0.5 else bright,
        v_neck=float(rng.choice([0.0, 0.0, 0.25])),
        neck_width=0.88 + (0.10 if male else -0.10) + 0.04 * rng.standard_normal(),
        ear_size=0.90 + 0.06 * rng.standard_normal(),
        ear_angle=0.38 + 0.10 * rng.standard_normal(),
    )


def _draw_studio(rng: np.random.Generator) -> tuple[Light, tuple[float, float, float]]:
    """A mild variety of lights, from the left or the right, and of plain backgrounds."""
    side = rng.uniform(-0.5, 0.5)
    warmth = rng.uniform(-0.04, 0.04)
    light = Light(
        direction=(side, rng.uniform(-0.7, -0.35), 0.80),
        key=rng.uniform(1.10, 1.40),
        fill=rng.uniform(0.18, 0.35),
        ambient=rng.uniform(0.26, 0.36),
        colour=(1.0 + warmth, 0.98, 0.95 - warmth),
    )
    grey = rng.uniform(0.28, 0.75)
    red, green, blue = grey * rng.uniform(0.90, 1.08, 3)
    return light, (red, green, blue)
