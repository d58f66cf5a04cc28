"""Measuring results beside their truths, in parallel processes that know no networks but dlib's."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from expr_lib.embedding import embed_face, embed_faces
from expr_lib.landmarks import find_landmarks
from expr_lib.metrics import landmark_error, mouth_psnr, psnr, ssim
from expr_lib.workers import in_processes

CHUNK = 16


@dataclass(frozen=True)
class Case:
    """One result and what it is compared with.

    result, truth  (H, W, 3) uint8
    truth_points   (68, 2)  crop widths
    truth_code     (128,)  dlib's embedding of the truth
    wanted_points  (68, 2)  crop widths, the fused landmarks
    """

    result: np.ndarray
    truth: np.ndarray
    truth_points: np.ndarray
    truth_code: np.ndarray
    wanted_points: np.ndarray


def find_again(photo: np.ndarray) -> np.ndarray | None:
    """Landmarks that dlib finds in an aligned crop, (68, 2) crop widths; None when it finds no
    face."""
    detection = find_landmarks(photo)
    if detection.chosen is None:
        return None
    return (detection.face.points + 0.5) / photo.shape[0]


def measure(case: Case, window: str = "gaussian") -> dict[str, float]:
    """All measures of one result.

    returns  ssim; psnr and psnr_mouth in dB; error_wanted and error_truth in % of the eye distance
             and identity (distance
             of dlib's embedding to the truth's), NaN when no face is found in the result; found, 0
             or 1
    """
    size = case.result.shape[0]
    row = {
        "ssim": ssim(case.result, case.truth, window),
        "psnr": psnr(case.result, case.truth),
        "psnr_mouth": mouth_psnr(case.result, case.truth, case.truth_points),
    }
    points = find_again(case.result)
    if points is None:
        nothing = dict.fromkeys(("error_wanted", "error_truth", "identity"), math.nan)
        return {**row, **nothing, "found": 0.0}
    code = embed_face(case.result, points * size - 0.5)
    return {
        **row,
        "error_wanted": float(landmark_error(points, case.wanted_points)),
        "error_truth": float(landmark_error(points, case.truth_points)),
        "identity": float(np.linalg.norm(code - case.truth_code)),
        "found": 1.0,
    }


def embed_all(
    photos: np.ndarray, points: np.ndarray, jobs: int = 2, title: str = "embedding"
) -> np.ndarray:
    """dlib's embedding of aligned faces, (N, 128).

    photos  (N, H, W, 3) uint8
    points  (N, 68, 2)  crop widths
    """
    pixels = points * photos.shape[1] - 0.5
    parts = [(photos[i : i + CHUNK], pixels[i : i + CHUNK]) for i in range(0, len(photos), CHUNK)]
    codes = in_processes(_embed_some, parts, jobs, title=title, unit="face", weight=_faces_in)
    return np.concatenate(list(codes))


def _faces_in(part: tuple[np.ndarray, np.ndarray]) -> int:
    return len(part[0])


def _embed_some(part: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return embed_faces(*part)


def measure_all(
    cases: list[Case], window: str = "gaussian", jobs: int = 2, title: str = "measuring"
) -> list[dict[str, float]]:
    """`measure` for many results, in order."""
    work = partial(_measure_some, window=window)
    chunks = [cases[i : i + CHUNK] for i in range(0, len(cases), CHUNK)]
    parts = in_processes(work, chunks, jobs, title=title, unit="face", weight=len)
    return [row for part in parts for row in part]


def _measure_some(cases: list[Case], window: str) -> list[dict[str, float]]:
    return [measure(case, window) for case in cases]
