"""The 68 landmarks of iBUG 300-W: their parts, their mirror images, the eyes; and the same of any
other numbering. Needs numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Points = TypeVar("Points", np.ndarray, "Tensor")

LANDMARK_PARTS: dict[str, tuple[int, ...]] = {
    "jaw": tuple(range(0, 17)),
    "right_brow": tuple(range(17, 22)),
    "left_brow": tuple(range(22, 27)),
    "nose_bridge": tuple(range(27, 31)),
    "nose_base": tuple(range(31, 36)),
    "right_eye": tuple(range(36, 42)),
    "left_eye": tuple(range(42, 48)),
    "outer_lip": tuple(range(48, 60)),
    "inner_lip": tuple(range(60, 68)),
}
"""iBUG part -> landmarks in drawing order; right is the person's own, on the left of the photo."""

CLOSED_PARTS = ("right_eye", "left_eye", "outer_lip", "inner_lip")
"""The parts whose last point joins the first."""

_MIRRORED_PARTS = (
    *range(16, -1, -1),  # jaw
    *range(26, 21, -1),  # right brow <- left brow
    *range(21, 16, -1),  # left brow <- right brow
    *range(27, 31),  # nose bridge, on the mirror's axis
    *range(35, 30, -1),  # nose base
    *(45, 44, 43, 42, 47, 46),  # right eye <- left eye: corner to corner, lid to lid
    *(39, 38, 37, 36, 41, 40),  # left eye <- right eye
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lip
    *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lip
)
MIRROR: np.ndarray = np.array(_MIRRORED_PARTS)
"""(68,) landmark i of a mirrored face is landmark MIRROR[i] of the face; its own inverse."""
MIRROR.flags.writeable = False


@dataclass(frozen=True)
class Layout:
    """How the K landmarks of a face are numbered.

    count   K
    mirror  landmark i of a mirrored face is landmark mirror[i] of the face; its own inverse
    eyes    the two corners of the right eye (left in the photo), and of the left one
    parts   part of the face -> its landmarks, for errors by part
    raises  ValueError when the indices do not fit together
    """

    count: int
    mirror: tuple[int, ...]
    eyes: tuple[tuple[int, int], tuple[int, int]]
    parts: Mapping[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        """Raise ValueError for a mirror that is not its own inverse, or an index beyond K."""
        everyone = list(range(self.count))
        if sorted(self.mirror) != everyone or [self.mirror[i] for i in self.mirror] != everyone:
            raise ValueError(f"the mirror of {self.count} landmarks is not its own inverse")
        named = {i for group in (*self.eyes, *self.parts.values()) for i in group}
        if not named <= set(everyone):
            raise ValueError(f"eyes and parts name landmarks beyond {self.count}")


IBUG68 = Layout(
    count=68,
    mirror=_MIRRORED_PARTS,
    eyes=((36, 39), (42, 45)),
    parts={
        "mouth": LANDMARK_PARTS["outer_lip"] + LANDMARK_PARTS["inner_lip"],
        "brows": LANDMARK_PARTS["right_brow"] + LANDMARK_PARTS["left_brow"],
        "eyes": LANDMARK_PARTS["right_eye"] + LANDMARK_PARTS["left_eye"],
        "jaw": LANDMARK_PARTS["jaw"],
    },
)
"""The numbering of iBUG 300-W, which dlib finds and a FaceSet holds."""

EXPRESSIVE_PARTS = ("mouth", "brows", "eyes")
"""The parts of a layout that an expression moves most."""


def eye_centres(points: Points, layout: Layout = IBUG68) -> Points:
    """Find the centres of both eyes, each the mean of its two corners (36, 39 and 42, 45).

    points   (..., K, 2)  x, y in any unit, numpy or torch; K = 68 unless the layout says otherwise
    returns  (..., 2, 2)  right eye (left in the photo) first, in the same unit
    """
    first, second = zip(*layout.eyes, strict=True)
    return (points[..., list(first), :] + points[..., list(second), :]) / 2


def eye_distance(points: Points, layout: Layout = IBUG68) -> Points:
    """Measure the distance between the two eye centres, the unit of every landmark error.

    points   (..., K, 2)  x, y in any unit, numpy or torch
    returns  (...)        in the same unit
    """
    centres = eye_centres(points, layout)
    return ((centres[..., 1, :] - centres[..., 0, :]) ** 2).sum(-1) ** 0.5


def flip_points(points: Points, layout: Layout = IBUG68) -> Points:
    """Mirror landmarks left to right, as the photo that is flipped has them.

    points   (..., K, 2)  x, y in crop widths, numpy or torch
    returns  (..., K, 2)  a copy: x becomes 1 - x, each point takes the index of its counterpart
    """
    flipped = points[..., list(layout.mirror), :]
    flipped[..., 0] = 1 - flipped[..., 0]
    return flipped
