"""What stage 1 has to beat: ways to fuse landmarks that learn nothing, or mean faces alone."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from expr_lib.methods.fusion import LandmarkFusion
from expr_lib.pointset import Landmarked, points_of
from expr_lib.samples import SOURCE, TARGET, strength_of
from expr_lib.splits import Split


class FusionMethod(ABC):
    """One way to fuse landmarks.

    needs    what it is given beyond source and target, in words; empty when nothing
    missing  what a set lacks in which it can fuse no pair at all
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[str] = ""
    missing: ClassVar[str] = ""

    @abstractmethod
    def fuse(self, faces: Landmarked, triples: NDArray[np.int64]) -> np.ndarray:
        """The targets' faces with the sources' expressions.

        triples  (M, 3)  rows of source, target and truth; the truth is not looked at
        returns  (M, K, 2) crop widths, NaN where what it needs is missing
        """


class CopyTargetPoints(FusionMethod):
    """The target's landmarks as they are."""

    name, title = "copy_target", "copy target"

    def fuse(self, faces: Landmarked, triples: NDArray[np.int64]) -> np.ndarray:
        """L_t."""
        return np.array(faces.landmarks[triples[:, TARGET]])


class CopySourcePoints(FusionMethod):
    """The source's landmarks as they are: the expression on the wrong face."""

    name, title = "copy_source", "copy source"

    def fuse(self, faces: Landmarked, triples: NDArray[np.int64]) -> np.ndarray:
        """L_s."""
        return np.array(faces.landmarks[triples[:, SOURCE]])


class RelativeMotion(FusionMethod):
    """The target moved as the source's person moves between the two expressions, as first-order
    motion models do in their relative mode (Siarohin et al., NeurIPS 2019)."""

    name, title = "relative_motion", "relative motion"
    needs = "the source's person with the target's expression"
    missing = "no photo shows a source's person with the target's expression"

    def fuse(self, faces: Landmarked, triples: NDArray[np.int64]) -> np.ndarray:
        """L_t + L_s - the source's person, gaze and camera with the target's expression."""
        shown = faces.table.assign(strength=strength_of(faces.table))
        source, target = (shown.iloc[triples[:, column]] for column in (SOURCE, TARGET))
        wanted = pd.concat(
            [
                source[["person", "gaze", "yaw"]].reset_index(drop=True),
                target[["expression", "strength"]].reset_index(drop=True),
            ],
            axis=1,
        )
        moved = faces.landmarks[triples[:, SOURCE]] - points_of(faces, wanted, shown)
        return faces.landmarks[triples[:, TARGET]] + moved


class MeanShift(FusionMethod):
    """The target moved as the mean face of the training people moves between the two
    expressions, whose names it is told."""

    name, title = "mean_shift", "mean-expression shift"
    needs = "the names of both expressions"
    missing = "no training person shows both expressions of a pair"

    def __init__(self, faces: Landmarked, split: Split) -> None:
        kinds = pd.Series(_kinds(faces.table), dtype=object)
        learnt = kinds.iloc[split.train]
        self._means = {
            kind: faces.landmarks[learnt.index[learnt == kind]].mean(0) for kind in set(learnt)
        }

    def fuse(self, faces: Landmarked, triples: NDArray[np.int64]) -> np.ndarray:
        """L_t + mean face of the source's expression - that of the target's."""
        kinds = _kinds(faces.table)
        nothing = np.full(faces.landmarks.shape[1:], np.nan)
        means = np.array([self._means.get(kind, nothing) for kind in kinds])
        moved = means[triples[:, SOURCE]] - means[triples[:, TARGET]]
        return faces.landmarks[triples[:, TARGET]] + moved


class Fitted(FusionMethod):
    """A fitted Φ, its linear rival or both, under a name of its own."""

    def __init__(self, fusion: LandmarkFusion, name: str, title: str) -> None:
        self.fusion = fusion
        self.name, self.title = name, title  # type: ignore[misc]

    def fuse(self, faces: Landmarked, triples: NDArray[np.int64]) -> np.ndarray:
        """J_gen of Eq. 1."""
        source, target = (faces.landmarks[triples[:, column]] for column in (SOURCE, TARGET))
        return self.fusion.fuse(source, target)


def _kinds(table: pd.DataFrame) -> list[tuple[str, int]]:
    """Expression and strength of each photo."""
    return list(zip(table["expression"], strength_of(table).tolist(), strict=True))
