"""How far a network of stage 1 is, on people that it does not learn from."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from expr_lib.drawing import draw_dots, draw_landmarks
from expr_lib.methods.tensors import to_photos
from expr_lib.metrics import landmark_error
from expr_lib.points import IBUG68
from expr_lib.pointset import Landmarked
from expr_lib.samples import SOURCE, TARGET, TRUTH
from expr_lib.splits import Split
from expr_lib.watching import sample_grid

Fuse = Callable[[NDArray[np.int64]], np.ndarray]
"""Fused landmarks (M, K, 2) of triples (M, 3), NaN where there are none."""


class FusionProbe:
    """Some pairs of validation and test people, the same at every look.

    raises  TooFewPeople when one of the two parts has none
    """

    def __init__(self, faces: Landmarked, split: Split, seed: int) -> None:
        self.points, self.layout = np.array(faces.landmarks), faces.layout
        self.pairs = {part: split.pairs(part, 2000, seed) for part in ("validation", "test")}

    def measure(self, fuse: Fuse) -> dict[str, float]:
        """Landmark error to the truth, % of the eye distance, on validation and test people; beside
        it that of copying."""
        row: dict[str, float] = {}
        for part, triples in self.pairs.items():
            truth = self.points[triples[:, TRUTH]]
            copied = landmark_error(self.points[triples[:, TARGET]], truth, self.layout)
            row[f"{part}_error"] = _mean(landmark_error(fuse(triples), truth, self.layout))
            row[f"{part}_error_copy"] = _mean(copied)
        return row

    def picture(self, fuse: Fuse) -> np.ndarray:
        """Landmarks of up to six validation pairs: source, target, fused and truth."""
        pairs = self.pairs["validation"]
        some = pairs[np.linspace(0, len(pairs) - 1, min(6, len(pairs))).astype(int)]
        source, target, truth = (self.points[some[:, i]] for i in (SOURCE, TARGET, TRUTH))
        given = {"source": source, "target": target, "fused": fuse(some), "truth": truth}
        draw = draw_landmarks if self.layout is IBUG68 else draw_dots
        drawn = {
            name: draw(torch.as_tensor(np.nan_to_num(p, nan=-1.0), dtype=torch.float32), 128)
            for name, p in given.items()
        }
        return sample_grid({n: to_photos(d.expand(-1, 3, -1, -1)) for n, d in drawn.items()})


def _mean(errors: np.ndarray) -> float:
    known = errors[np.isfinite(errors)]
    return float(known.mean()) if len(known) else float("nan")
