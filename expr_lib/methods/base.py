"""What every method is: something that can be fitted, saved, loaded, and asked for a picture."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
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
    """

    photos: np.ndarray
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.photos)

    @classmethod
    def of(cls, faces: FaceSet, rows: np.ndarray, size: int) -> Self:
        """Some rows of a FaceSet, at `size` pixels."""
        return cls(faces.photos_at(rows, size), np.asarray(faces.landmarks[rows]))


class Method(ABC):
    """One way to put the source's expression on the target's face."""

    name: ClassVar[str]
    title: ClassVar[str]

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
