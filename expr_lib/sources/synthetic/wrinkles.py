"""Folds of the skin: where they run, and which action units deepen them."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from expr_lib.sources.synthetic.canonical import Array, smoothstep
from expr_lib.sources.synthetic.texture import (
    COLUMN_STEP,
    HEIGHT,
    ROW_STEP,
    WIDTH,
    TextureSpace,
    texture_space,
)

FRONT_WIDTH = 480
"""Columns of texture space that can wrinkle."""
FOLD_DEPTH = 0.020
"""Depth of a full fold, eye distances."""
FIRST_COLUMN = WIDTH // 2 - FRONT_WIDTH // 2

DEEPENED_BY: dict[str, dict[str, float]] = {
    "nasolabial R": {"12": 0.5, "12R": 0.5, "10": 0.7, "10R": 0.7, "9": 0.6, "6": 0.2, "14R": 0.3}
    | {"14": 0.3, "15": 0.2, "20": 0.3},
    "nasolabial L": {"12": 0.5, "12L": 0.5, "10": 0.7, "10L": 0.7, "9": 0.6, "6": 0.2, "14L": 0.3}
    | {"14": 0.3, "15": 0.2, "20": 0.3},
    "forehead": {"1": 0.55, "2": 0.6, "2L": 0.3, "2R": 0.3},
    "glabella": {"4": 0.9, "9": 0.5},
    "crow": {"6": 0.9, "7": 0.2, "12": 0.2},
    "undereye": {"6": 0.6, "7": 0.5, "9": 0.4, "12": 0.15},
    "bunny": {"9": 0.9, "10": 0.2},
    "chin": {"17": 0.8, "15": 0.3, "24": 0.3},
    "dimple R": {"14R": 1.0, "14": 1.0, "12R": 0.2, "12": 0.3, "20": 0.2},
    "dimple L": {"14L": 1.0, "14": 1.0, "12L": 0.2, "12": 0.3, "20": 0.2},
    "marionette": {"15": 0.8, "17": 0.2},
    "neck": {"20": 0.3},
}
"""Fold -> action unit -> how much of the fold's full depth it brings."""

DEEPEST = 1.3


def _folds(space: TextureSpace) -> dict[str, Array]:
    stroke = space.stroke
    dimple = stroke([(0.465, 0.96), (0.485, 1.04), (0.475, 1.13)], 0.022)
    cheek = stroke([(0.30, 0.55), (0.36, 0.66), (0.45, 0.84), (0.51, 1.00), (0.52, 1.12)], 0.032)
    forehead = sum(
        stroke([(0, y + 0.02), (0.25, y), (0.5, y - 0.01), (0.72, y + 0.06)], 0.018)
        for y in (-0.55, -0.68, -0.80, -0.92)
    )
    return {
        "nasolabial R": cheek * space.left,
        "nasolabial L": cheek * space.right,
        "forehead": forehead * smoothstep(0.8, 0.3, space.ax),
        "glabella": stroke([(0.085, -0.44), (0.075, -0.33), (0.10, -0.20)], 0.020)
        + stroke([(0.0, -0.13), (0.05, -0.12), (0.09, -0.10)], 0.015, 0.5),
        "crow": stroke([(0.80, 0.0), (0.88, -0.02), (0.97, -0.07)], 0.014)
        + stroke([(0.805, 0.035), (0.89, 0.045), (0.98, 0.045)], 0.014)
        + stroke([(0.79, 0.07), (0.87, 0.11), (0.94, 0.16)], 0.014),
        "undereye": stroke([(0.30, 0.10), (0.42, 0.16), (0.55, 0.175), (0.70, 0.12)], 0.018)
        + stroke([(0.30, 0.15), (0.42, 0.23), (0.56, 0.255), (0.70, 0.21)], 0.025, 0.5),
        "bunny": stroke([(0.03, 0.00), (0.09, 0.03), (0.15, 0.10)], 0.016)
        + stroke([(0.03, 0.07), (0.10, 0.11), (0.17, 0.20)], 0.016)
        + stroke([(0.08, -0.05), (0.14, -0.02), (0.2, 0.05)], 0.016),
        "chin": stroke([(0, 1.32), (0.12, 1.33), (0.22, 1.385)], 0.03),
        "dimple R": dimple * space.left,
        "dimple L": dimple * space.right,
        "marionette": stroke([(0.42, 1.13), (0.45, 1.21), (0.46, 1.32)], 0.022),
        "neck": stroke([(0, 2.12), (0.3, 2.08), (0.6, 2.02)], 0.022)
        + stroke([(0, 2.32), (0.3, 2.28), (0.6, 2.22)], 0.022),
    }


@lru_cache(maxsize=1)
def _fold_maps() -> Array:
    """Depth and slopes of each fold, (folds, HEIGHT / 2 * FRONT_WIDTH / 2 * 3) float32."""
    folds = _folds(texture_space())
    front = slice(FIRST_COLUMN, FIRST_COLUMN + FRONT_WIDTH)
    maps = []
    for name in DEEPENED_BY:
        depth = np.broadcast_to(folds[name], (HEIGHT, WIDTH))[:, front]
        across, down = np.gradient(depth, axis=1), np.gradient(depth, axis=0)
        layers = [depth, -FOLD_DEPTH * across / COLUMN_STEP, -FOLD_DEPTH * down / ROW_STEP]
        maps.append(np.stack(layers, -1)[::2, ::2].ravel())
    return np.array(maps, np.float32)


def fold_depth(at_rest: Mapping[str, float], gain: float, activity: Mapping[str, float]) -> Array:
    """Depth of all folds together, for one face at one moment.

    at_rest   fold -> depth of the relaxed face
    gain      how deeply this skin folds
    activity  action unit -> weight
    returns   (HEIGHT / 2, FRONT_WIDTH / 2, 3) float32, depth of about 0..2 and two slopes
    """
    folded = np.zeros(HEIGHT // 2 * (FRONT_WIDTH // 2) * 3, np.float32)
    for (name, units), fold in zip(DEEPENED_BY.items(), _fold_maps(), strict=True):
        moved = sum(activity.get(unit, 0.0) * share for unit, share in units.items())
        depth = min(max(at_rest.get(name.split(" ")[0], 0.0) + gain * moved, 0.0), DEEPEST)
        if depth > 0.01:
            folded += np.float32(depth) * fold
    return folded.reshape(HEIGHT // 2, FRONT_WIDTH // 2, 3)
