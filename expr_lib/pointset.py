"""Faces as stage 1 sees them: landmarks and who shows what, without photos."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from expr_lib.files import digest
from expr_lib.points import IBUG68, Layout


class Landmarked(Protocol):
    """What stage 1 needs of a FaceSet: its landmarks (N, K, 2) in crop widths, its table, how the
    landmarks are numbered, and a hash of its content."""

    @property
    def landmarks(self) -> NDArray[np.float32]: ...

    @property
    def table(self) -> pd.DataFrame: ...

    @property
    def layout(self) -> Layout: ...

    @property
    def key(self) -> str: ...


@dataclass(frozen=True, eq=False)
class PointSet:
    """Landmarks that have no photos.

    landmarks  (N, K, 2) float32 in crop widths, aligned
    table      photo table of these faces: person, expression, intensity, gaze, yaw
    layout     how the K landmarks are numbered
    raises     ValueError when landmarks, table and layout do not fit together
    """

    landmarks: NDArray[np.float32]
    table: pd.DataFrame
    layout: Layout = IBUG68

    def __post_init__(self) -> None:
        """Raise ValueError for landmarks of another shape."""
        wanted = (len(self.table), self.layout.count, 2)
        if self.landmarks.shape != wanted:
            raise ValueError(f"landmarks must be {wanted}, not {self.landmarks.shape}")

    @cached_property
    def key(self) -> str:
        """Hash of the content."""
        return digest(self.landmarks.tobytes(), self.table.to_csv(index=False))


def find_photos(table: pd.DataFrame, wanted: pd.DataFrame) -> NDArray[np.int64]:
    """The first photo of a table that is as wanted.

    wanted   one row a photo; its columns, some of the table's, are those that must be equal
    returns  (N,) rows of the table, -1 where there is no such photo
    """
    columns = list(wanted.columns)
    known = table[columns].assign(row=np.arange(len(table))).drop_duplicates(columns)
    found = wanted.reset_index(drop=True).merge(known, on=columns, how="left")["row"]
    return found.fillna(-1).to_numpy(np.int64)


def points_of(
    faces: Landmarked, wanted: pd.DataFrame, table: pd.DataFrame | None = None
) -> NDArray[np.float32]:
    """Landmarks (M, K, 2) of the first photos that are as wanted; NaN where there is no such photo.

    wanted  see `find_photos`
    table   the faces' table with more columns
    """
    rows = find_photos(faces.table if table is None else table, wanted)
    points = np.array(faces.landmarks[rows])
    points[rows < 0] = np.nan
    return points
