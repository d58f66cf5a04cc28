"""dlib behind typed results: faces, their 68 landmarks, and the embedding that tells who it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from expr_lib.dlib_models import Box, as_rgb, detector, import_dlib, predictor_at, resized
from expr_lib.embedding import embed_face, embed_faces
from expr_lib.errors import NoFaceFound

__all__ = ["Detection", "Face", "embed_face", "embed_faces", "find_landmarks", "landmarks_in_box"]

FIRST_RUNG = 640
"""Longest side in pixels at which faces are first looked for: those of an eighth of it or more."""
LARGEST_UPSAMPLING = 4.0
LARGEST_RUNG_PIXELS = 12_000_000
"""Bound of the last rung: about a second and 300 MiB of memory."""
WORKING_SIDE = 384
"""Side in pixels to which a box is brought for its landmarks, which dlib rounds to whole pixels."""
_MARGIN = 0.4
"""What the predictor sees around the box, as a part of the box's side."""
_SHIFTS = ((0.03, 0.03), (0.03, -0.03), (-0.03, 0.03), (-0.03, -0.03))
"""Shifts of the box, as parts of its side, over which the landmarks are averaged.

The predictor's answer moves with the box, which the detector places only roughly. The mean over
four boxes moves half as much: 0.5 instead of 1.0 % of the eye distance when a photo is halved.
"""


@dataclass(frozen=True)
class Face:
    """One face in pixels of the photo.

    box     left, top, right, bottom; right and bottom are just outside
    points  (68, 2) float32 x, y
    score   the detector's, above 0
    """

    box: Box
    points: np.ndarray
    score: float


@dataclass(frozen=True)
class Detection:
    """What the detector found: the faces, largest first, and the index of the chosen one."""

    faces: tuple[Face, ...]
    chosen: int | None

    @property
    def status(self) -> Literal["none", "one", "several"]:
        """Say whether there are none, one or several faces."""
        return "none" if not self.faces else "one" if len(self.faces) == 1 else "several"

    @property
    def face(self) -> Face:
        """Return the chosen face. Raises NoFaceFound when there is none."""
        if self.chosen is None:
            raise NoFaceFound(
                "no face was found in the photo; "
                "choose one in which a face looks at the camera and nothing covers it"
            )
        return self.faces[self.chosen]


def find_landmarks(
    image: np.ndarray, face: int | None = None, predictor: Path | None = None
) -> Detection:
    """Find the faces of a photo and their 68 landmarks, small faces by looking at larger scales.

    The search ends at the first scale with a face (with `face` faces, when a rank is asked for):
    a photo with a large face and a tiny one far behind it is "one".

    image      (H, W, 3) RGB or (H, W) grey, uint8
    face       rank by size, 1 is the largest; None chooses the largest
    predictor  dlib's 68-point model file, None looks for it (`modelfiles.find_predictor`)
    returns    points as (68, 2) float32 x, y in pixels of `image`
    raises     NoFaceFound when there are fewer than `face` faces; ModelFileMissing, DlibMissing;
               ValueError when the image or the rank is none
    """
    photo = as_rgb(image)
    if face is not None and face < 1:
        raise ValueError(f"face is a rank that counts from 1, not {face}")
    found = _detect(photo, wanted=face or 1)
    if face is not None and face > len(found):
        count = {0: "no face was found", 1: "only 1 face was found"}.get(
            len(found), f"only {len(found)} faces were found"
        )
        raise NoFaceFound(
            f"{count} in the photo, so there is no face {face}; "
            "choose a lower number or another photo"
        )
    shape_predictor = predictor_at(predictor)
    faces = tuple(
        Face(box, _points_in_box(photo, box, shape_predictor), score) for box, score in found
    )
    return Detection(faces, (face or 1) - 1 if faces else None)


def landmarks_in_box(
    image: np.ndarray, box: Sequence[float], predictor: Path | None = None
) -> np.ndarray:
    """Find the 68 landmarks of a face whose box is known, without looking for it.

    image    (H, W, 3) RGB or (H, W) grey, uint8
    box      left, top, right, bottom in pixels, as dlib's detector draws it: brows to chin
    returns  (68, 2) float32 x, y in pixels of `image`
    raises   ModelFileMissing, DlibMissing; ValueError when the box is empty or outside the image
    """
    return _points_in_box(as_rgb(image), box, predictor_at(predictor))


def _rungs(height: int, width: int) -> list[float]:
    """List the scales to look at: FIRST_RUNG, then twice as large each time, within the bounds."""
    last = min(LARGEST_UPSAMPLING, (LARGEST_RUNG_PIXELS / (height * width)) ** 0.5)
    scales = [min(1.0, FIRST_RUNG / max(height, width), last)]
    while scales[-1] < last * 0.99:
        scales.append(min(2 * scales[-1], last))
    return scales


def _detect(photo: np.ndarray, wanted: int) -> list[tuple[Box, float]]:
    """Climb the ladder until `wanted` faces are found; the rung with the most faces counts."""
    height, width = photo.shape[:2]
    best: list[tuple[Box, float]] = []
    for scale in _rungs(height, width):
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        rectangles, scores, _ = detector().run(resized(photo, size), 0, 0.0)
        found = [
            (_scaled_box(box, width / size[0], height / size[1]), float(score))
            for box, score in zip(rectangles, scores, strict=True)
        ]
        best = max(best, found, key=len)
        if len(best) >= wanted:
            break
    return sorted(best, key=lambda face: (-_area(face[0]), face[0]))


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _scaled_box(box: Any, x_scale: float, y_scale: float) -> Box:
    return (
        round(box.left() * x_scale),
        round(box.top() * y_scale),
        round((box.right() + 1) * x_scale),
        round((box.bottom() + 1) * y_scale),
    )


def _points_in_box(photo: np.ndarray, box: Sequence[float], shape_predictor: Any) -> np.ndarray:
    """Find landmarks on the box brought to WORKING_SIDE: they depend little on the photo's size."""
    left, top, right, bottom = (float(edge) for edge in box)
    side = max(right - left, bottom - top)
    margin = _MARGIN * side
    outer = (
        max(0, int(left - margin)),
        max(0, int(top - margin)),
        min(photo.shape[1], int(np.ceil(right + margin))),
        min(photo.shape[0], int(np.ceil(bottom + margin))),
    )
    if right <= left or bottom <= top or outer[2] <= outer[0] or outer[3] <= outer[1]:
        raise ValueError(
            f"the box {tuple(box)} is empty or outside the image "
            f"of {photo.shape[1]} x {photo.shape[0]} pixels"
        )
    scale = WORKING_SIDE / side
    size = (
        max(1, round((outer[2] - outer[0]) * scale)),
        max(1, round((outer[3] - outer[1]) * scale)),
    )
    zoom = np.array([size[0] / (outer[2] - outer[0]), size[1] / (outer[3] - outer[1])])
    working = resized(photo, size, outer)
    corners = (np.array([[left, top], [right, bottom]]) - outer[:2]) * zoom
    found = [
        _predict(working, corners + np.array(shift) * WORKING_SIDE, shape_predictor)
        for shift in _SHIFTS
    ]
    # the centre of pixel 0 is at 0.5 from the edge at either scale
    return ((np.mean(found, 0) + 0.5) / zoom - 0.5 + outer[:2]).astype(np.float32)


def _predict(image: np.ndarray, corners: np.ndarray, shape_predictor: Any) -> np.ndarray:
    rectangle = import_dlib().rectangle(*(round(value) for value in corners.ravel() - [0, 0, 1, 1]))
    return np.array(
        [(part.x, part.y) for part in shape_predictor(image, rectangle).parts()], np.float64
    )
