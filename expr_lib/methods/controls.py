"""Controls that learn no pixels: copy the target, and warp the target by the fused landmarks."""

from pathlib import Path
from typing import Self

import numpy as np
from skimage.transform import PiecewiseAffineTransform, warp

from expr_lib.config import RunSettings
from expr_lib.faceset import FaceSet
from expr_lib.methods.base import FaceBatch, Method
from expr_lib.methods.fusion import LandmarkFusion
from expr_lib.splits import Split

_FRAME = np.array(
    [[x, y] for x in (0.0, 0.5, 1.0) for y in (0.0, 0.5, 1.0) if (x, y) != (0.5, 0.5)]
)
"""Points of the crop's border that stay where they are, crop widths."""


class CopyTarget(Method):
    """The target photo unchanged: the least that any method must beat."""

    name = "copy"
    title = "copy target"

    def fit(self, faces: FaceSet, split: Split, settings: RunSettings, folder: Path) -> None:
        """Nothing to learn."""

    def generate(self, source: FaceBatch, target: FaceBatch) -> np.ndarray:
        """The targets."""
        return target.photos.copy()

    def save(self, folder: Path) -> None:
        """Nothing to save."""

    @classmethod
    def load(cls, folder: Path, settings: RunSettings) -> Self:
        """A new one."""
        return cls()


class WarpTarget(Method):
    """The target photo warped so that its landmarks come to lie on the fused ones (piecewise
    affine)."""

    name = "warp"
    title = "warp by fused landmarks"

    def __init__(self, fusion: LandmarkFusion) -> None:
        self.fusion = fusion

    def fit(self, faces: FaceSet, split: Split, settings: RunSettings, folder: Path) -> None:
        """Nothing to learn beyond Φ."""

    def generate(self, source: FaceBatch, target: FaceBatch) -> np.ndarray:
        """The targets, warped."""
        fused = self.fusion.fuse(source.points, target.points)
        return np.stack(
            [
                warp_photo(photo, old, new)
                for photo, old, new in zip(target.photos, target.points, fused, strict=True)
            ]
        )

    def save(self, folder: Path) -> None:
        """Write Φ."""
        self.fusion.save(folder)

    @classmethod
    def load(cls, folder: Path, settings: RunSettings) -> Self:
        """Read Φ. Raises BrokenCheckpoint."""
        return cls(LandmarkFusion.load(folder, settings))


def warp_photo(photo: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Move a photo's landmarks to new places, piecewise affinely over a Delaunay triangulation.

    photo     (H, W, 3) uint8, square
    old, new  (68, 2)  crop widths
    returns   (H, W, 3) uint8; the border stays
    """
    size = photo.shape[0]
    border = _FRAME * (size - 1)
    start = np.concatenate([np.clip(old, 0, 1) * size - 0.5, border])
    end = np.concatenate([np.clip(new, 0, 1) * size - 0.5, border])
    # warp() asks where each pixel of the result comes from
    transform = PiecewiseAffineTransform.from_estimate(end, start)
    if not transform:
        return photo.copy()
    moved = warp(photo, transform, order=1, mode="edge", preserve_range=True)
    return np.clip(np.rint(moved), 0, 255).astype(np.uint8)
