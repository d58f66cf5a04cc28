"""What every method is: something that can be fitted, saved, loaded, and asked for a picture."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from expr_lib.config import RunSettings
from expr_lib.faceset import FaceSet
from expr_lib.splits import Split


@dataclass(frozen=True)
class FaceBatch:
    """Aligned faces.

    photos  (N, H, W, 3) uint8
    points  (N, 68, 2) float32, crop widths
    words   (N,) the expressions; None where nobody has named them
    """

    photos: np.ndarray
    points: np.ndarray
    words: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, some: slice) -> Self:
        words = None if self.words is None else self.words[some]
        return replace(self, photos=self.photos[some], points=self.points[some], words=words)

    @classmethod
    def of(cls, faces: FaceSet, rows: np.ndarray, size: int) -> Self:
        """Some rows of a FaceSet, at `size` pixels."""
        words = faces.table["expression"].to_numpy()[rows]
        return cls(faces.photos_at(rows, size), np.asarray(faces.landmarks[rows]), words)


class Method(ABC):
    """One way to put the source's expression on the target's face.

    needs  what it must be given beyond the photos of source and target and their landmarks
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[str] = ""

    @abstractmethod
    def fit(self, faces: FaceSet, split: Split, settings: RunSettings, folder: Path) -> None:
        """Learn from the training people of a FaceSet; state that survives a kill goes into
        `folder`."""

    @abstractmethod
    def generate(self, source: FaceBatch, target: FaceBatch) -> np.ndarray:
        """Pictures (N, H, W, 3) uint8 of the targets' people with the sources' expressions."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `load` needs into `folder`, in one step."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, settings: RunSettings) -> Self:
        """Read a fitted method back. Raises BrokenCheckpoint."""
