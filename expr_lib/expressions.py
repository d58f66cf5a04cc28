"""Which expression a face shows, told from its landmarks alone: a small classifier that has seen
real faces only."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from expr_lib.alignment import similarity

NO_FACE = ""
"""What is recognised where there is no face."""


@dataclass(frozen=True)
class ExpressionClassifier:
    """Linear discriminant analysis of standardised landmarks, which are aligned first, so that a
    face's place, size and roll do not count. One covariance for all expressions, shrunk as Ledoit
    and Wolf (2004) tell, because it has 136 rows and faces are few.

    steps  the fitted scikit-learn pipeline
    """

    steps: Pipeline

    @classmethod
    def fit(cls, points: np.ndarray, words: np.ndarray) -> Self:
        """Learn from real faces, of people who are not measured later. Each expression is taken to
        be as likely as any other, however many photos it has.

        points  (N, 68, 2)  crop widths
        words   (N,)  what each face shows
        raises  ValueError when fewer than two expressions are shown, or points are not finite
        """
        known, counts = np.unique(words, return_counts=True)
        if len(known) < 2 or counts.max() < 2:
            raise ValueError(
                f"faces that show {', '.join(map(str, known)) or 'nothing'} cannot teach to tell "
                "expressions apart; give two expressions or more, and two faces of one"
            )
        likely = np.full(len(known), 1 / len(known))
        analysis = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=likely)
        return cls(make_pipeline(StandardScaler(), analysis).fit(_aligned(points), words))

    def recognise(self, points: np.ndarray) -> np.ndarray:
        """Name the likeliest expression of each face.

        points   (N, 68, 2)  crop widths; NaN where no face was found
        returns  (N,) words, NO_FACE where the points are not finite
        """
        known = np.isfinite(points).all((1, 2))
        words = np.full(len(points), NO_FACE, dtype=object)
        if known.any():
            words[known] = self.steps.predict(_aligned(points[known]))
        return words


def _aligned(points: np.ndarray) -> np.ndarray:
    """Aligned landmarks as rows, (N, 136)."""
    rows = np.empty((len(points), 136))
    for row, face in zip(rows, points, strict=True):
        matrix = similarity(face, 1)
        row[:] = (face @ matrix[:, :2].T + matrix[:, 2]).ravel()
    return rows
