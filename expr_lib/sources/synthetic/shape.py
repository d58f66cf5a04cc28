"""What makes heads differ: a seed's traits, as weights of the mesh's shapes."""

from dataclasses import dataclass

import numpy as np

from expr_lib.sources.synthetic import meshfiles
from expr_lib.sources.synthetic.canonical import Array
from expr_lib.sources.synthetic.head import AVERAGE, RACES, Head, eye_centres

# years of age at which the mesh has shapes
_CHILD, _YOUNG, _OLD = 11.0, 25.0, 80.0

# slider: spread of its weight; the mesh's range is -1..1
_SLIDERS = {
    "head/head-fat-{decr|incr}": 0.50,
    "head/head-angle-{in|out}": 0.45,
    "head/head-scale-depth-{decr|incr}": 0.25,
    "head/head-scale-horiz-{decr|incr}": 0.50,
    "head/head-scale-vert-{decr|incr}": 0.20,
    "head/head-back-scale-depth-{decr|incr}": 0.25,
    "forehead/forehead-nubian-{decr|incr}": 0.28,
    "forehead/forehead-scale-vert-{decr|incr}": 0.28,
    "forehead/forehead-temple-{decr|incr}": 0.45,
    "forehead/forehead-trans-{backward|forward}": 0.30,
    "eyebrows/eyebrows-angle-{down|up}": 0.33,
    "eyebrows/eyebrows-trans-{backward|forward}": 0.45,
    "eyebrows/eyebrows-trans-{down|up}": 0.33,
    "neck/neck-double-{decr|incr}": 0.30,
    "neck/neck-scale-horiz-{decr|incr}": 0.30,
    "neck/neck-scale-vert-{decr|incr}": 0.25,
    "nose/nose-base-{down|up}": 0.33,
    "nose/nose-compression-{compress|uncompress}": 0.56,
    "nose/nose-curve-{concave|convex}": 0.56,
    "nose/nose-flaring-{decr|incr}": 0.81,
    "nose/nose-greek-{decr|incr}": 0.56,
    "nose/nose-hump-{decr|incr}": 0.65,
    "nose/nose-nostrils-angle-{down|up}": 0.41,
    "nose/nose-nostrils-width-{decr|incr}": 0.65,
    "nose/nose-point-{down|up}": 0.33,
    "nose/nose-point-width-{decr|incr}": 0.74,
    "nose/nose-scale-depth-{decr|incr}": 0.61,
    "nose/nose-scale-horiz-{decr|incr}": 1.06,
    "nose/nose-scale-vert-{decr|incr}": 0.53,
    "nose/nose-septumangle-{decr|incr}": 0.25,
    "nose/nose-trans-{down|up}": 0.29,
    "nose/nose-volume-{decr|incr}": 0.56,
    "nose/nose-width1-{decr|incr}": 0.98,
    "nose/nose-width2-{decr|incr}": 0.98,
    "nose/nose-width3-{decr|incr}": 0.90,
    "mouth/mouth-angles-{down|up}": 0.09,
    "mouth/mouth-cupidsbow-{decr|incr}": 0.40,
    "mouth/mouth-cupidsbow-width-{decr|incr}": 0.36,
    "mouth/mouth-lowerlip-height-{decr|incr}": 0.24,
    "mouth/mouth-lowerlip-volume-{decr|incr}": 0.48,
    "mouth/mouth-lowerlip-width-{decr|incr}": 0.32,
    "mouth/mouth-philtrum-volume-{decr|incr}": 0.32,
    "mouth/mouth-scale-depth-{decr|incr}": 0.24,
    "mouth/mouth-scale-horiz-{decr|incr}": 0.28,
    "mouth/mouth-scale-vert-{decr|incr}": 0.16,
    "mouth/mouth-trans-{backward|forward}": 0.20,
    "mouth/mouth-trans-{down|up}": 0.10,
    "mouth/mouth-upperlip-height-{decr|incr}": 0.24,
    "mouth/mouth-upperlip-volume-{decr|incr}": 0.48,
    "mouth/mouth-upperlip-width-{decr|incr}": 0.32,
    "chin/chin-bones-{decr|incr}": 0.51,
    "chin/chin-cleft-{decr|incr}": 0.30,
    "chin/chin-height-{decr|incr}": 0.30,
    "chin/chin-jaw-drop-{decr|incr}": 0.34,
    "chin/chin-prognathism-{decr|incr}": 0.21,
    "chin/chin-prominent-{decr|incr}": 0.47,
    "chin/chin-width-{decr|incr}": 0.51,
    "cheek/*-cheek-bones-{decr|incr}": 0.47,
    "cheek/*-cheek-inner-{decr|incr}": 0.42,
    "cheek/*-cheek-trans-{down|up}": 0.34,
    "cheek/*-cheek-volume-{decr|incr}": 0.51,
    "eyes/*-eye-bag-{decr|incr}": 0.72,
    "eyes/*-eye-bag-{in|out}": 0.45,
    "eyes/*-eye-corner1-{down|up}": 0.52,
    "eyes/*-eye-corner2-{down|up}": 0.72,
    "eyes/*-eye-epicanthus-{in|out}": 0.65,
    "eyes/*-eye-eyefold-angle-{down|up}": 0.78,
    "eyes/*-eye-eyefold-{concave|convex}": 0.78,
    "eyes/*-eye-eyefold-{down|up}": 0.72,
    "eyes/*-eye-height1-{decr|incr}": 0.39,
    "eyes/*-eye-height2-{decr|incr}": 0.42,
    "eyes/*-eye-height3-{decr|incr}": 0.39,
    "eyes/*-eye-push1-{in|out}": 0.65,
    "eyes/*-eye-push2-{in|out}": 0.65,
    "eyes/*-eye-scale-{decr|incr}": 0.72,
    "eyes/*-eye-trans-{in|out}": 0.52,
    "ears/*-ear-flap-{decr|incr}": 0.40,
    "ears/*-ear-lobe-{decr|incr}": 0.40,
    "ears/*-ear-rot-{backward|forward}": 0.35,
    "ears/*-ear-scale-{decr|incr}": 0.35,
    "ears/*-ear-scale-vert-{decr|incr}": 0.35,
    "ears/*-ear-wing-{decr|incr}": 0.40,
}
_OUTLINES = (
    "oval",
    "round",
    "rectangular",
    "square",
    "triangular",
    "invertedtriangular",
    "diamond",
)
_BIAS = {
    "nose/nose-base-up": 0.25,  # else the noses hide their nostrils
    "nose/nose-nostrils-angle-up": 0.15,
    "mouth/mouth-trans-down": 0.25,
    "mouth/mouth-scale-horiz-incr": 0.35,
    "eyes/l-eye-height2-incr": 0.25,  # else the eyes look sleepy under their lashes
    "eyes/r-eye-height2-incr": 0.25,
    "eyes/l-eye-scale-incr": 0.15,
    "eyes/r-eye-scale-incr": 0.15,
}
"""Added for all."""
_VARIETY = 0.68
"""Less than the sliders' spreads: with all of them at once, faces become caricatures."""
_STRENGTH = 1.35
"""How much descent, sex and age show, times what the mesh has."""
_ANCHORS, _TALLEST = [33, 62, 8], 0.10
"""Nose, mouth and chin; how far each part of a face's height may be from the usual, a share."""
_ASYMMETRY = {
    "brown": 2, "cheek": 2, "ear": 4, "eye": 8, "jaw": 3, "mouth": 2, "nose": 4, "temple": 2,
}  # fmt: skip
_ASYMMETRY_SPREAD = 0.12


@dataclass(frozen=True)
class Body:
    """What a person is born with, and their years.

    races   weights of the mesh's three, adding up to 1
    weight  0 thin .. 0.5 average .. 1 heavy
    """

    male: bool
    years: float
    races: tuple[float, float, float]
    weight: float

    def age_weights(self) -> dict[str, float]:
        """Share of the mesh's child, young and old shapes."""
        ages = ["child", "young", "old"]
        return {
            name: float(np.interp(self.years, (_CHILD, _YOUNG, _OLD), row))
            for name, row in zip(ages, np.eye(3), strict=True)
        }


def draw_weights(rng: np.random.Generator, body: Body) -> dict[str, float]:
    """Draw the weight of every shape of the mesh that makes up one person."""
    weights: dict[str, float] = {}
    sex = "male" if body.male else "female"
    heavy: dict[str, float] = {
        "minweight": max(0.0, 1 - 2 * body.weight),
        "maxweight": max(0.0, 2 * body.weight - 1),
    }
    heavy["averageweight"] = 1 - sum(heavy.values())
    for age, share in body.age_weights().items():
        strength = _STRENGTH * share
        for race, part in zip(RACES, body.races, strict=True):
            weights[f"macrodetails/{race}-{sex}-{age}"] = strength * part
        for name, part in heavy.items():
            weights[f"macrodetails/universal-{sex}-{age}-averagemuscle-{name}"] = strength * part
    for name, part in AVERAGE.items():  # further from the average than the mesh has it
        weights[name] = weights.get(name, 0.0) + (1 - _STRENGTH) * part
    grown = float(np.clip((body.years - 4) / 16, 0.45, 1))  # children differ less
    for slider, spread in _SLIDERS.items():
        drawn = float(rng.uniform(-1.7, 1.7)) * spread * _VARIETY * grown
        stem, ends = slider[:-1].split("{")
        form = stem + ends.split("|")[drawn > 0]
        for side in "lr" if "*" in form else "-":
            weights[form.replace("*", side)] = abs(drawn)
    for name, added in _BIAS.items():
        weights[name] = weights.get(name, 0.0) + added
    if not body.male:
        weights["neck/neck-scale-horiz-decr"] = weights.get("neck/neck-scale-horiz-decr", 0) + 0.4
    outlines = rng.dirichlet(np.full(len(_OUTLINES), 0.5)) * rng.uniform(0.1, 0.75)
    for name, share in zip(_OUTLINES, outlines, strict=True):
        weights[f"head/head-{name}"] = float(share) * grown
    for place, count in _ASYMMETRY.items():
        for k in range(1, count + 1):
            side = "lr"[int(rng.integers(2))]
            weights[f"asym/asym-{place}-{k}-{side}"] = abs(rng.normal(0, _ASYMMETRY_SPREAD))
    return {name: weight for name, weight in weights.items() if abs(weight) > 1e-4}


def shape_head(base: Head, weights: dict[str, float]) -> Array:
    """Bend the mesh into one person's neutral head.

    returns  (V, 3) float32 eye distances of that person, the head's vertices
    """
    body = meshfiles.read_mesh().points.copy()
    for target, weight in weights.items():
        index, shift = meshfiles.shape_target(target)
        body[index] += weight * shift
    centres = eye_centres(body, base.groups)
    distance = float(np.linalg.norm(centres[1] - centres[0]))
    points = (body - centres.mean(0)) / distance * np.array([1, -1, 1]) + base.correction
    vertices = base.smooth(points)
    _temper_heights(base, vertices)
    return vertices.astype(np.float32)


def _temper_heights(base: Head, vertices: Array) -> None:
    """Bring long and short faces, high and low skulls nearer to the average, in place."""
    usual, own = (_heights(base, points) for points in (base.points, vertices))
    ratios = np.diff(own) / np.diff(usual)
    steps = np.diff(usual) * (1 + _TALLEST * np.tanh((ratios - 1) / _TALLEST))
    tempered = np.cumsum(np.r_[0.0, steps])
    tempered -= tempered[1]  # the eyes stay where they are
    far = 10.0
    before = np.r_[own[0] - far, own, own[-1] + far]
    after = np.r_[tempered[0] - far, tempered, tempered[-1] + far]
    vertices[:, 1] = np.interp(vertices[:, 1], before, after)


def _heights(base: Head, points: Array) -> Array:
    """Heights of the crown, the eyes (0), the nose's base, the mouth and the chin."""
    marks = (base.landmarks[_ANCHORS] @ points)[:, 1]
    return np.r_[points[:, 1].min(), 0.0, marks]
