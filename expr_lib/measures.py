"""What results are measured by: as pictures, by their expression, and by whose face they show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from expr_lib.measuring import embed_all, find_all
from expr_lib.methods.base import FaceBatch
from expr_lib.metrics import (
    CPU,
    face_mask,
    landmark_error,
    mouth_mask,
    psnr,
    sharpness,
    ssim_in,
)
from expr_lib.points import EXPRESSIVE_PARTS

if TYPE_CHECKING:
    from expr_lib.expressions import ExpressionClassifier


@dataclass(frozen=True)
class Measure:
    """One column of a table."""

    name: str
    title: str
    decimals: int
    better: int  # +1 when more is better, -1 when less is, 0 when nearer to 1 is


ALL_MEASURES: dict[str, tuple[Measure, ...]] = {
    "image": (
        Measure("ssim", "SSIM", 3, 1),
        Measure("ssim_face", "SSIM face", 3, 1),
        Measure("ssim_mouth", "SSIM mouth", 3, 1),
        Measure("psnr", "PSNR dB", 2, 1),
        Measure("psnr_face", "PSNR face dB", 2, 1),
        Measure("psnr_mouth", "PSNR mouth dB", 2, 1),
        Measure("sharpness", "sharpness", 2, 0),
    ),
    "expression": (
        Measure("error_wanted", "landmark error to wanted %", 2, -1),
        *(
            Measure(f"error_wanted_{part}", f"landmark error to wanted, {part} %", 2, -1)
            for part in EXPRESSIVE_PARTS
        ),
        Measure("error_truth", "landmark error to truth %", 2, -1),
        *(
            Measure(f"error_truth_{part}", f"landmark error to truth, {part} %", 2, -1)
            for part in EXPRESSIVE_PARTS
        ),
        Measure("recognised", "expression recognised", 2, 1),
    ),
    "identity": (
        Measure("identity", "identity distance", 3, -1),
        Measure("leak", "identity leak", 3, -1),
    ),
}
"""Everything that `measure` can tell, by what it is told about."""

_OF_THE_TABLE = ("ssim", "psnr", "psnr_mouth", "error_wanted", "error_truth", "identity")
MEASURES = tuple(
    measure for group in ALL_MEASURES.values() for measure in group if measure.name in _OF_THE_TABLE
)
"""The columns of the table of `evaluate`."""

PERCEPTUAL_LEFT_OUT = (
    "LPIPS, FID and KID are left out: the networks that they are defined by (AlexNet or VGG, "
    "Inception) come with no package used here, and nothing is downloaded to measure."
)


def measure(
    results: np.ndarray,
    truth: FaceBatch,
    truth_codes: np.ndarray,
    wanted: np.ndarray,
    *,
    source_codes: np.ndarray | None = None,
    classifier: ExpressionClassifier | None = None,
    words: np.ndarray | None = None,
    window: str = "gaussian",
    device: torch.device = CPU,
    jobs: int = 1,
    title: str = "results",
) -> pd.DataFrame:
    """All measures of results: pixels in batches on the device, dlib's in parallel processes.

    results       (N, H, W, 3) uint8
    truth_codes   (N, 128)  dlib's embedding of the truths
    wanted        (N, 68, 2)  crop widths, the fused landmarks
    source_codes  (N, 128)  dlib's embedding of the sources' photos
    classifier    tells expressions, fitted to people who are not measured
    words         (N,)  the expression that is wanted of each result
    window        of SSIM, see `metrics.ssim`
    returns       a row a result. As a picture: ssim, psnr in dB, each also with _face (in the hull
                  of the truth's points) and _mouth (in its mouth box); sharpness in the face,
                  result / truth. Expression: error_wanted and error_truth in % of the eye distance,
                  each also with _mouth, _brows, _eyes; with a classifier, recognised, 0 or 1 (0
                  where no face is found), and recognised_truth, the same of the truth's points: the
                  ceiling. Person: identity, distance of dlib's embedding to the truth's; with
                  source_codes, leak, the distance of truth to source less that of result to source:
                  0 as far from the source as the truth is, more is nearer. And found, 0 or 1: where
                  no face is found, landmark errors, identity and leak are NaN
    """
    points = find_all(results, jobs, f"finding faces: {title}")
    codes = embed_all(results, points, jobs, f"embedding: {title}")
    found = {
        **_of_pictures(results, truth, window, device),
        **_of_landmarks(points, "wanted", wanted),
        **_of_landmarks(points, "truth", truth.points),
        "identity": np.linalg.norm(codes - truth_codes, axis=-1),
        "found": np.isfinite(points).all((1, 2)).astype(float),
    }
    if source_codes is not None:
        apart = np.linalg.norm(truth_codes - source_codes, axis=-1)
        found["leak"] = apart - np.linalg.norm(codes - source_codes, axis=-1)
    if classifier is not None and words is not None:
        for name, given in (("recognised", points), ("recognised_truth", truth.points)):
            right = classifier.recognise(given) == np.asarray(words)
            found[name] = right.astype(float)
    return pd.DataFrame(found)


def _of_pictures(
    results: np.ndarray, truth: FaceBatch, window: str, device: torch.device
) -> dict[str, np.ndarray]:
    size = truth.photos.shape[1]
    masks = face, mouth = face_mask(truth.points, size), mouth_mask(truth.points, size)
    whole, in_face, in_mouth = ssim_in(results, truth.photos, masks, window, device)
    return {
        "ssim": whole,
        "ssim_face": in_face,
        "ssim_mouth": in_mouth,
        "psnr": psnr(results, truth.photos, device),
        "psnr_face": psnr(results, truth.photos, device, inside=face),
        "psnr_mouth": psnr(results, truth.photos, device, inside=mouth),
        "sharpness": sharpness(results, truth.photos, face, device),
    }


def _of_landmarks(points: np.ndarray, name: str, reference: np.ndarray) -> dict[str, np.ndarray]:
    errors = {f"error_{name}": landmark_error(points, reference)}
    for part in EXPRESSIVE_PARTS:
        errors[f"error_{name}_{part}"] = landmark_error(points, reference, part=part)
    return errors
