"""FACS action units (Ekman and Friesen 1978): how each moves the face; expressions are their sums.

A unit is one field of displacements, added with a weight; so an expression's intensity is
continuous, and mixed expressions come for free. R and L are the sitter's right (image left) and
left.
"""

from types import MappingProxyType

from expr_lib.errors import BadSetting
from expr_lib.photos import EXPRESSIONS

GAZE_UNITS = ("61", "62", "63", "64")
"""Units that turn the eyes: to the sitter's left (image right), right, up, down."""


def _both(action: str, weight: float = 1.0) -> dict[str, float]:
    return {f"{action}Left": weight, f"{action}Right": weight}


def _actions() -> dict[str, dict[str, float]]:
    whole = {
        "1": {"browInnerUp": 1.6},
        "2": _both("browOuterUp", 1.2),
        "4": _both("browDown", 1.2),
        "5": _both("eyeWide", 0.9),
        "6": _both("cheekSquint", 0.9),
        "7": _both("eyeSquint", 1.0),
        "9": _both("noseSneer", 1.5),
        "10": _both("mouthUpperUp", 1.2),
        "12": _both("mouthSmile", 0.71),
        "14": _both("mouthDimple", 1.0),
        "15": _both("mouthFrown", 1.1),
        "16": _both("mouthLowerDown", 0.8),
        "17": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.15},
        "18": {"mouthPucker": 0.9},
        "20": _both("mouthStretch", 1.35),
        "22": {"mouthFunnel": 0.9},
        "23": {"mouthRollLower": 0.7, "mouthRollUpper": 0.7},
        "24": _both("mouthPress", 0.6),
        "25": _both("mouthLowerDown", 0.9) | _both("mouthUpperUp", 0.3) | {"jawOpen": 0.02},
        "26": {"jawOpen": 0.32},
        "27": {"jawOpen": 0.65},
        "28": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
        "34": {"cheekPuff": 1.0},
        "43": _both("eyeBlink", 0.9),
    }
    sided = {}
    for unit in ("2", "4", "6", "7", "9", "10", "12", "14", "15"):
        for half, side in (("R", "Right"), ("L", "Left")):
            sided[unit + half] = {n: w for n, w in whole[unit].items() if n.endswith(side)}
    lids = {"63": _both("eyeLookUp", 0.8), "64": _both("eyeLookDown", 0.8)}
    return whole | sided | lids


UNIT_ACTIONS = MappingProxyType(_actions())
"""Action unit -> morph targets of the head mesh (named as ARKit's) and their weights."""

EXPRESSION_UNITS = MappingProxyType(
    {
        "neutral": {},
        "happy": {"6": 0.8, "12": 1.0, "25": 0.9, "26": 0.2},
        "sad": {"1": 1.0, "4": 0.6, "15": 1.0, "17": 0.4, "7": 0.2, "64": 0.25},
        "surprised": {"1": 0.8, "2": 0.9, "5": 0.7, "25": 0.3, "26": 1.0, "27": 0.15},
        "angry": {"4": 1.0, "5": 0.35, "7": 0.8, "23": 0.6, "24": 0.5, "17": 0.2, "9": 0.1},
        "fearful": {"1": 1.0, "2": 0.6, "4": 0.5, "5": 0.9, "7": 0.4, "20": 1.0, "25": 0.8}
        | {"26": 0.4},
        "disgusted": {"9": 1.0, "10": 1.0, "4": 0.5, "7": 0.6, "25": 0.2, "17": 0.4, "6": 0.4}
        | {"15": 0.3},
        "contemptuous": {"12R": 0.75, "14R": 0.95, "17": 0.15, "2L": 0.35},
    }
)
"""Action units of each expression at full intensity, after EMFACS (Friesen and Ekman 1983), which
the posers of RaFD followed too (Langner et al. 2010); contempt is one-sided."""


def expression_units(expression: str, intensity: float = 1.0) -> dict[str, float]:
    """Give an expression's action units.

    expression  one of RaFD's eight words
    intensity   0 is neutral, 1 the full expression; every unit is scaled by it
    returns     unit -> weight
    raises      BadSetting when the word is none of the eight or the intensity is out of range
    """
    if expression not in EXPRESSION_UNITS:
        raise BadSetting(
            f"unknown expression {expression!r}; choose one of {', '.join(EXPRESSIONS)}"
        )
    if not 0 <= intensity <= 1:
        raise BadSetting(f"intensity is {intensity}; give a number from 0 to 1")
    return {unit: weight * intensity for unit, weight in EXPRESSION_UNITS[expression].items()}
