"""One drawn person: everything about a head that does not change with expression, view or light."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from expr_lib.errors import BadSetting
from expr_lib.sources.synthetic import facehair, skin
from expr_lib.sources.synthetic.canonical import Array
from expr_lib.sources.synthetic.facehair import FaceHairs, Glasses
from expr_lib.sources.synthetic.hair import Hair, draw_hair, paint_scalp
from expr_lib.sources.synthetic.head import Head, head
from expr_lib.sources.synthetic.shape import Body, draw_weights, shape_head
from expr_lib.sources.synthetic.strands import Strands, grow_scalp
from expr_lib.sources.synthetic.texture import smooth_noise, texture_space

IRIS_COLOURS = {
    "brown": (0.060, 0.028, 0.011),
    "dark brown": (0.024, 0.011, 0.006),
    "hazel": (0.10, 0.065, 0.022),
    "green": (0.10, 0.12, 0.05),
    "blue": (0.11, 0.18, 0.27),
    "grey": (0.15, 0.18, 0.20),
}
# one stream of random numbers a part, so that new hair does not change old noses
_STREAMS = [
    *("body", "shape", "skin", "hair", "scalp", "strands", "brows", "beard"),
    *("eyes", "clothes", "style", "studio"),
]


@dataclass(frozen=True)
class Light:
    """A key light from one side, a weaker fill from the other, and light from everywhere.

    direction  towards the key light: x right, y down, z to the camera
    softness   0 a hard shadow .. 2 a very soft one
    """

    direction: tuple[float, float, float] = (-0.30, -0.50, 0.80)
    key: float = 1.20
    fill: float = 0.22
    ambient: float = 0.42
    colour: tuple[float, float, float] = (1.0, 0.98, 0.95)
    exposure: float = 0.92
    softness: float = 1.0


@dataclass(frozen=True)
class Clothes:
    """What is worn: shirt RGB, height of the neckline, depth of its V, and glasses."""

    shirt: Array
    neckline: float
    v_neck: float
    glasses: Glasses | None


@dataclass(frozen=True)
class Person:
    """One drawn person, determined by `seed` alone; pickled as the seed and drawn again.

    years         age, 7 to 78
    tone          0 light skin .. 1 dark; `races` weights of the mesh's three
    vertices      (V, 3) the neutral head, eye distances
    texture       (HEIGHT, WIDTH, 6) linear RGB, slopes (2), share of hair
    style         action unit -> how strongly this person moves it, about 1
    light         the studio light of this person's photos; `background` its linear RGB
    """

    seed: int
    male: bool = field(init=False)
    years: float = field(init=False)
    tone: float = field(init=False)
    races: tuple[float, float, float] = field(init=False)
    weight: float = field(init=False)
    makeup: bool = field(init=False)
    beard_kind: str = field(init=False)
    vertices: Array = field(init=False, repr=False, compare=False)
    skin_colour: Array = field(init=False, repr=False, compare=False)
    hair: Hair = field(init=False, repr=False, compare=False)
    scalp: Strands | None = field(init=False, repr=False, compare=False)
    face_hairs: tuple[FaceHairs, ...] = field(init=False, repr=False, compare=False)
    texture: Array = field(init=False, repr=False, compare=False)
    oil: float = field(init=False, repr=False)
    iris: Array = field(init=False, repr=False, compare=False)
    iris_pattern: Array = field(init=False, repr=False, compare=False)
    teeth: Array = field(init=False, repr=False, compare=False)
    clothes: Clothes = field(init=False, repr=False, compare=False)
    style: dict[str, float] = field(init=False, repr=False, compare=False)
    light: Light = field(init=False, repr=False)
    background: tuple[float, float, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise BadSetting(f"a person's seed is {self.seed}; give a whole number from 0 up")
        base = head()
        self._draw_body()
        body = Body(self.male, self.years, self.races, self.weight)
        self._set(vertices=shape_head(base, draw_weights(self._stream("shape"), body)))
        self._paint()
        self._set(clothes=_draw_clothes(self._stream("clothes"), self.years))
        self._grow()
        self._draw_eyes()
        rng = self._stream("style")
        numbers = sorted({unit.rstrip("LR") for unit in base.unit_names})
        gains = {number: float(np.exp(0.09 * rng.standard_normal())) for number in numbers}
        gains["25"] *= rng.uniform(0.4, 1.2)  # some smile with their lips closed
        # a lid closes as far as the eye is open
        gains["43"] = _eye_opening(base, self.vertices) / _eye_opening(base, base.points)
        self._set(style={unit: gains[unit.rstrip("LR")] for unit in base.unit_names})
        light, background = _draw_studio(self._stream("studio"), self.tone)
        self._set(light=light, background=background)

    def __reduce__(self) -> tuple[Any, ...]:
        return Person, (self.seed,)

    def _set(self, **values: Any) -> None:
        known = {item.name for item in fields(self)}
        for name, value in values.items():
            assert name in known, name
            object.__setattr__(self, name, value)

    def _stream(self, part: str) -> np.random.Generator:
        return np.random.default_rng([7919, self.seed, _STREAMS.index(part)])

    def _draw_body(self) -> None:
        rng = self._stream("body")
        male = bool(rng.random() < 0.5)
        child = rng.random() < 0.12
        years = rng.uniform(7, 16) if child else 18 + 60 * rng.beta(1.0, 1.4)
        races = tuple(float(share) for share in rng.dirichlet([0.08, 0.08, 0.08]))
        mean_tone = float(np.dot(races, [0.18, 0.80, 0.33]))
        tone = float(np.clip(rng.normal(mean_tone, 0.15), 0, 1))
        weight = float(np.clip(rng.normal(0.5, 0.28), 0, 1))
        makeup = bool(not male and years > 17 and rng.random() < 0.45)
        kinds = (0.45, 0.36, 0.09, 0.03, 0.07)
        beard = str(rng.choice(facehair.BEARDS, p=kinds)) if male and years > 19 else "none"
        self._set(male=male, years=float(years), tone=tone, races=races, weight=weight)
        self._set(makeup=makeup, beard_kind=beard)

    @property
    def age(self) -> float:
        """Age of the skin: 0 child .. 1 old."""
        return float(np.clip((self.years - 10) / 65, 0, 1))

    def _paint(self) -> None:
        space, rng = texture_space(), self._stream("skin")
        colour = skin.draw_skin_colour(rng, self.tone)
        african, asian = self.races[1], self.races[2]
        hair = draw_hair(self._stream("hair"), self.male, self.years, african, asian)
        canvas = skin.paint_complexion(space, rng, colour, self.tone, self.age)
        skin.paint_lips(canvas, space, rng, colour, self.tone, self.makeup)
        skin.paint_nostrils(canvas, space)
        skin.paint_lids(canvas, space, rng, self.makeup, asian)
        skin.add_pores(canvas, space, rng, self.age)
        oil = rng.uniform(0.5, 1.2)
        self._shade_beard(canvas, hair, colour)
        self._shade_brows(canvas, hair)
        cover = paint_scalp(canvas, space, self._stream("scalp"), hair)
        layers = [*canvas.albedo, *canvas.relief_slopes(), cover]
        texture = np.ascontiguousarray(np.stack(layers, -1), np.float32)
        self._set(skin_colour=colour, hair=hair, oil=oil, texture=texture)

    def _shade_beard(self, canvas: skin.Canvas, hair: Hair, colour: Array) -> None:
        space, rng = texture_space(), self._stream("beard")
        if not self.male or self.years < 17:
            return
        amount = {"none": 0.07, "stubble": rng.uniform(0.18, 0.42)}.get(self.beard_kind, 0.45)
        kind = self.beard_kind
        mask = facehair.beard_density(kind if amount == 0.45 else "beard", space.x, space.y)
        mask = gaussian_filter(mask * (1 - space.lip) * (np.cos(space.angle) > 0), 3)
        hairs = 0.5 * smooth_noise(rng, (3.5, 1.1)) + 0.5 * smooth_noise(rng, (1.5, 1.0))
        canvas.lay(
            np.minimum(hair.colour * 0.7, 0.16) + 0.12 * colour,
            np.clip(mask * amount * (1 + 0.2 * hairs), 0, 0.9),
        )

    def _shade_brows(self, canvas: skin.Canvas, hair: Hair) -> None:
        """The skin under the eyebrows looks a little darker."""
        space = texture_space()
        centre = space.brow
        shade = np.exp(-(((space.y - centre) / 0.045) ** 2)) * (space.ax > 0.15) * (space.ax < 0.9)
        canvas.lay(np.minimum(hair.colour, 0.1), gaussian_filter(shade, 2) * 0.22)

    def _grow(self) -> None:
        base, rng = head(), self._stream("strands")
        scalp = grow_scalp(base, self.vertices, rng, self.hair)
        rng = self._stream("brows")
        hairs = [
            facehair.grow_brows(base, rng, self.hair, self.male, self.years),
            facehair.grow_lashes(base, rng, self.hair, self.male, self.makeup),
            facehair.grow_beard(base, self._stream("beard"), self.hair, self.beard_kind),
        ]
        if self.clothes.glasses is not None:
            hairs.append(facehair.wear_glasses(base, self.vertices, self.clothes.glasses))
        self._set(scalp=scalp, face_hairs=tuple(part for part in hairs if part is not None))

    def _draw_eyes(self) -> None:
        rng = self._stream("eyes")
        if self.races[0] < 0.5 or self.tone > 0.5:
            name = rng.choice(["brown", "dark brown"])
        else:
            name = rng.choice(list(IRIS_COLOURS), p=[0.27, 0.12, 0.15, 0.13, 0.22, 0.11])
        colour = np.array(IRIS_COLOURS[str(name)]) * np.exp(0.15 * rng.standard_normal())
        white = np.array([0.56, 0.50, 0.47]) * np.exp(0.05 * rng.standard_normal())
        white[2] *= 1 - 0.15 * self.age
        self._set(iris=np.r_[colour, white, rng.uniform(0.85, 1.2)].astype(np.float32))
        self._set(iris_pattern=rng.random(64).astype(np.float32))
        yellow = 1 - np.array([0.0, 0.05, 0.16]) * (0.5 + 0.8 * self.age * rng.random())
        self._set(teeth=(np.array([0.68, 0.63, 0.56]) * yellow).astype(np.float32))

    @property
    def folds_at_rest(self) -> dict[str, float]:
        """Depth of the folds of the relaxed face."""
        old = self.age**2
        return {
            "nasolabial": 0.35 * self.age,
            "undereye": 0.05 + 0.40 * self.age,
            "forehead": 0.55 * old,
            "crow": 0.6 * old,
            "glabella": 0.4 * old,
            "marionette": 0.45 * old,
            "chin": 0.08,
            "neck": 0.5 * self.age,
        }

    @property
    def fold_gain(self) -> float:
        """How deeply this skin folds when it moves."""
        return 0.25 + 0.75 * self.age


def _eye_opening(base: Head, vertices: Array) -> float:
    marks = base.landmarks[:68] @ vertices
    return float((marks[[41, 40, 47, 46], 1] - marks[[37, 38, 43, 44], 1]).mean())


def _draw_clothes(rng: np.random.Generator, years: float) -> Clothes:
    dark = np.array([0.02, 0.02, 0.022]) * rng.uniform(0.8, 2.5)
    white = np.array([0.62, 0.62, 0.62]) * rng.uniform(0.7, 1.0)
    bright = rng.uniform(0.02, 0.5, 3) * 0.5 + 0.2 * rng.random()
    shirt = [dark, white, bright][int(rng.choice(3, p=[0.35, 0.25, 0.4]))]
    wears = rng.random() < np.interp(years, [10, 40, 70], [0.12, 0.33, 0.55])
    frame = None
    if wears:
        frame = Glasses(
            half_width=rng.uniform(0.36, 0.42),
            half_height=rng.uniform(0.25, 0.33),
            squareness=rng.uniform(2.0, 4.5),
            thickness=rng.uniform(0.018, 0.045),
            brightness=float(rng.choice([0.008, 0.02, 0.12])),
        )
    return Clothes(
        shirt=shirt,
        neckline=float(rng.uniform(2.35, 2.65)),
        v_neck=float(rng.choice([0.0, 0.0, 0.3])),
        glasses=frame,
    )


def _draw_studio(rng: np.random.Generator, tone: float) -> tuple[Light, tuple[float, float, float]]:
    """A variety of lights, from the left or the right, and of plain backgrounds."""
    side = rng.uniform(-0.6, 0.6)
    warmth = rng.uniform(-0.10, 0.10)
    light = Light(
        direction=(side, rng.uniform(-0.75, -0.35), 0.80),
        key=rng.uniform(1.15, 1.45),
        fill=rng.uniform(0.16, 0.32),
        ambient=rng.uniform(0.24, 0.44),
        colour=(1.0 + warmth, 0.98, 0.95 - warmth),
        exposure=rng.uniform(0.86, 0.98) * (1 + 0.55 * tone),
        softness=rng.uniform(0.8, 2.0),
    )
    grey = rng.uniform(0.22, 0.72)
    red, green, blue = grey * rng.uniform(0.90, 1.08, 3)
    return light, (float(red), float(green), float(blue))
