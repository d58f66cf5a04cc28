"""dlib's face embedding: numbers that tell people apart."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from expr_lib.dlib_models import as_rgb, embedder_at, import_dlib, resized
from expr_lib.points import eye_distance

CHIP_EYE_DISTANCE = 90.0
"""Eye distance in pixels to which a smaller face is enlarged before its embedding."""


def embed_face(image: np.ndarray, points: np.ndarray, embedder: Path | None = None) -> np.ndarray:
    """Describe whose face it is: dlib's embedding, one person's photos lie less than 0.6 apart.

    image    (H, W, 3) RGB or (H, W) grey, uint8
    points   (68, 2) x, y in pixels of `image`
    returns  (128,) float32
    raises   ModelFileMissing, DlibMissing; ValueError when image or points have
             another shape, or the points are not pixels
    """
    return embed_faces([image], [points], embedder)[0]


def embed_faces(
    images: Sequence[np.ndarray] | np.ndarray,
    points: Sequence[np.ndarray] | np.ndarray,
    embedder: Path | None = None,
) -> np.ndarray:
    """Describe whose faces they are, one face an image, as `embed_face` does.

    images   N images (H, W, 3) RGB or (H, W) grey, uint8; of any sizes
    points   N times (68, 2) x, y in pixels of their image
    returns  (N, 128) float32
    """
    if len(images) != len(points):
        raise ValueError(f"{len(images)} images but {len(points)} sets of points")
    if len(images) == 0:
        return np.zeros((0, 128), np.float32)
    dlib = import_dlib()
    chips = [
        _chip(dlib, as_rgb(image), np.asarray(p)) for image, p in zip(images, points, strict=True)
    ]
    network, lock = embedder_at(embedder)
    with lock:
        found = [np.array(network.compute_face_descriptor(chip), np.float32) for chip in chips]
    return np.stack(found)


def _chip(dlib: ModuleType, image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Cut out the aligned 150 x 150 face that the embedding network was trained on.

    dlib takes whole pixels, too coarse in a small face: it is enlarged to CHIP_EYE_DISTANCE before.
    """
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise ValueError(f"points are (68, 2) finite x, y in pixels, not {points.shape}")
    between_eyes = float(eye_distance(points))
    inside = (points >= 0).all(1) & (points < (image.shape[1], image.shape[0])).all(1)
    if between_eyes < 2 or not inside.any():
        raise ValueError(
            "points are in pixels of the image, not in crop widths: "
            f"their eyes are {between_eyes:.2f} pixels apart, and {inside.sum()} of 68 lie in it"
        )
    if between_eyes < CHIP_EYE_DISTANCE:
        image, points = _enlarged(image, points, CHIP_EYE_DISTANCE / between_eyes, 2 * between_eyes)
    low, high = points.min(0), points.max(0)
    rectangle = dlib.rectangle(*(round(float(value)) for value in (*low, *high)))
    parts = [dlib.point(round(float(x)), round(float(y))) for x, y in points]
    return dlib.get_face_chip(image, dlib.full_object_detection(rectangle, parts), 150, 0.25)


def _enlarged(
    image: np.ndarray, points: np.ndarray, zoom: float, margin: float
) -> tuple[np.ndarray, np.ndarray]:
    """Enlarge the face and its surroundings; the points follow."""
    shape = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(points.min(0) - margin), 0, shape - 1).astype(int)
    high = np.clip(np.ceil(points.max(0) + margin), low + 1, shape).astype(int)
    size = np.maximum(1, np.rint((high - low) * zoom)).astype(int)
    enlarged = resized(image, (int(size[0]), int(size[1])), (*low.tolist(), *high.tolist()))
    return enlarged, (points - low + 0.5) * (size / (high - low)) - 0.5
