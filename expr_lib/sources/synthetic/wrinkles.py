"""Folds of the skin: where they run, and which action units deepen them."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from expr_lib.sources.synthetic.canonical import Array, smoothstep
from expr_lib.sources.synthetic.texture import HEIGHT, WIDTH, TextureSpace, texture_space

FRONT = slice(WIDTH // 2 - 260, WIDTH // 2 + 260)
"""Columns of texture space that can wrinkle."""
FRONT_WIDTH = FRONT.stop - FRONT.start

DEEPENED_BY: dict[str, dict[str, float]] = {
    "nasolabial": {"12": 0.9, "12R": 0.7, "10": 0.8, "9": 0.7, "6": 0.25, "14R": 0.35}
    | {"15": 0.25, "20": 0.4},
    "forehead": {"1": 0.65, "2": 0.65},
    "glabella": {"4": 0.9, "9": 0.6},
    "crow": {"6": 0.9, "7": 0.2, "12": 0.2},
    "undereye": {"6": 0.7, "7": 0.5, "9": 0.5, "12": 0.15},
    "bunny": {"9": 1.0, "10": 0.2},
    "chin": {"17": 0.8, "15": 0.3, "24": 0.3},
    "dimple R": {"14R": 1.0, "12R": 0.2, "12": 0.3, "20": 0.2},
    "dimple L": {"14L": 1.0, "12": 0.3, "20": 0.2},
    "marionette": {"15": 0.8, "17": 0.2},
}
"""Fold -> action unit -> how much of the fold's full depth it brings."""

DEEPEST = 1.3


def _folds(space: TextureSpace) -> dict[str, Array]:
    stroke = space.stroke
    dimple = stroke([(0.465, 0.96), (0.485, 1.04), (0.475, 1.13)], 0.022)
    nose_to_mouth = [(0.27, 0.50), (0.335, 0.62), (0.42, 0.80), (0.475, 0.98), (0.49, 1.10)]
    forehead = sum(
        stroke([(0, y + 0.02), (0.25, y), (0.5, y - 0.01), (0.72, y + 0.06)], 0.017)
        for y in (-0.56, -0.68, -0.80, -0.92)
    )
    return {
        "nasolabial": stroke(nose_to_mouth, 0.030),
        "forehead": forehead * smoothstep(0.8, 0.3, space.ax),
        "glabella": stroke([(0.085, -0.46), (0.075, -0.36), (0.095, -0.25)], 0.020)
        + stroke([(0.0, -0.13), (0.05, -0.12), (0.09, -0.10)], 0.015, 0.5),
        "crow": stroke([(0.76, 0.0), (0.84, -0.02), (0.93, -0.07)], 0.014)
        + stroke([(0.765, 0.03), (0.85, 0.04), (0.94, 0.04)], 0.014)
        + stroke([(0.75, 0.06), (0.83, 0.10), (0.90, 0.15)], 0.014),
        "undereye": stroke([(0.30, 0.07), (0.42, 0.135), (0.55, 0.145), (0.68, 0.09)], 0.018)
        + stroke([(0.30, 0.11), (0.42, 0.20), (0.56, 0.225), (0.68, 0.18)], 0.025, 0.5),
        "bunny": stroke([(0.02, 0.00), (0.09, 0.03), (0.15, 0.10)], 0.016)
        + stroke([(0.03, 0.07), (0.10, 0.11), (0.17, 0.20)], 0.016)
        + stroke([(0.08, -0.05), (0.14, -0.02), (0.2, 0.05)], 0.016),
        "chin": stroke([(0, 1.335), (0.12, 1.345), (0.22, 1.40)], 0.03),
        "dimple R": dimple * space.left,
        "dimple L": dimple * space.right,
        "marionette": stroke([(0.40, 1.12), (0.44, 1.2), (0.45, 1.3)], 0.022),
    }


@lru_cache(maxsize=1)
def _fold_maps() -> Tensor:
    """(folds, HEIGHT * FRONT_WIDTH), in the order of DEEPENED_BY."""
    folds = _folds(texture_space())
    maps = np.stack([folds[name][:, FRONT] for name in DEEPENED_BY])
    return torch.tensor(maps, dtype=torch.float32).reshape(len(maps), -1)


def fold_depth(at_rest: dict[str, float], gain: float, activity: dict[str, float]) -> Tensor:
    """Depth of all folds together, for one face at one moment.

    at_rest   fold -> depth of the relaxed face
    gain      how deeply this skin folds
    activity  action unit -> weight
    returns   (HEIGHT, FRONT_WIDTH), about 0..2
    """
    depths = []
    for name, units in DEEPENED_BY.items():
        moved = sum(activity.get(unit, 0.0) * share for unit, share in units.items())
        depths.append(min(at_rest.get(name, 0.0) + gain * moved, DEEPEST))
    return (torch.tensor(depths).clamp(min=0) @ _fold_maps()).view(HEIGHT, FRONT_WIDTH)
