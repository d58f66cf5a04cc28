"""What dlib sees in results, in parallel processes that know no networks but dlib's."""

import numpy as np

from expr_lib.embedding import embed_faces
from expr_lib.landmarks import find_landmarks
from expr_lib.workers import in_processes

CHUNK = 16


def find_again(photo: np.ndarray) -> np.ndarray | None:
    """Landmarks that dlib finds in an aligned crop, (68, 2) crop widths; None when it finds no
    face."""
    detection = find_landmarks(photo)
    if detection.chosen is None:
        return None
    return (detection.face.points + 0.5) / photo.shape[0]


def find_all(photos: np.ndarray, jobs: int = 2, title: str = "finding faces") -> np.ndarray:
    """`find_again` for many crops, (N, 68, 2) crop widths, NaN where it finds no face.

    photos  (N, H, W, 3) uint8
    """
    parts = [photos[i : i + CHUNK] for i in range(0, len(photos), CHUNK)]
    points = in_processes(_find_some, parts, jobs, title=title, unit="face", weight=len)
    return np.concatenate([np.zeros((0, 68, 2)), *points])


def _find_some(photos: np.ndarray) -> np.ndarray:
    found = [find_again(photo) for photo in photos]
    return np.stack([np.full((68, 2), np.nan) if points is None else points for points in found])


def embed_all(
    photos: np.ndarray, points: np.ndarray, jobs: int = 2, title: str = "embedding"
) -> np.ndarray:
    """dlib's embedding of aligned faces, (N, 128); NaN where the points are NaN.

    photos  (N, H, W, 3) uint8
    points  (N, 68, 2)  crop widths
    """
    known = np.flatnonzero(np.isfinite(points).all((1, 2)))
    pixels = points * photos.shape[1] - 0.5
    places = [known[i : i + CHUNK] for i in range(0, len(known), CHUNK)]
    parts = [(photos[place], pixels[place]) for place in places]
    found = in_processes(_embed_some, parts, jobs, title=title, unit="face", weight=_faces_in)
    codes = np.full((len(photos), 128), np.nan, np.float32)
    for place, some in zip(places, found, strict=True):
        codes[place] = some
    return codes


def _faces_in(part: tuple[np.ndarray, np.ndarray]) -> int:
    return len(part[0])


def _embed_some(part: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return embed_faces(*part)
