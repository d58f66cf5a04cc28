"""SSIM, PSNR, landmark error and identity distance of one result, and confidence intervals over
people."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from expr_lib.points import LANDMARK_PARTS, eye_distance

MOUTH_MARGIN = 1.5
"""Side of the mouth box in units of the lips' own width and height."""


def ssim(result: np.ndarray, truth: np.ndarray, window: str = "gaussian") -> float:
    """Structural similarity (Wang et al. 2004), mean over channels.

    result, truth  (H, W, 3) uint8
    window         `gaussian`: sigma 1.5, no sample covariance, data range 255 [10]; `uniform`:
                   scikit-image's 7 x 7
    returns        at most 1
    """
    options = (
        {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        if window == "gaussian"
        else {}
    )
    return float(structural_similarity(truth, result, data_range=255, channel_axis=2, **options))


def psnr(result: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, data range 255; infinite for equal pictures.

    result, truth  (H, W, 3) uint8
    """
    if np.array_equal(result, truth):
        return math.inf
    return float(peak_signal_noise_ratio(truth, result, data_range=255))


def mouth_box(points: np.ndarray, size: int) -> tuple[slice, slice]:
    """Rows and columns of the mouth box: the lips' bounding box, 1.5 times as wide and high,
    inside the crop.

    points  (68, 2)  crop widths
    size    side of the crop, pixels
    """
    lips = points[[*LANDMARK_PARTS["outer_lip"], *LANDMARK_PARTS["inner_lip"]]] * size
    low, high = lips.min(0), lips.max(0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2 * MOUTH_MARGIN, 4)
    left, top = np.clip(np.floor(middle - half), 0, size - 8).astype(int)
    right, bottom = np.clip(np.ceil(middle + half), 8, size).astype(int)
    return slice(top, bottom), slice(left, right)


def mouth_psnr(result: np.ndarray, truth: np.ndarray, truth_points: np.ndarray) -> float:
    """PSNR in dB inside the mouth box of the truth.

    result, truth  (H, W, 3) uint8
    truth_points   (68, 2)  crop widths
    """
    box = mouth_box(truth_points, truth.shape[0])
    return psnr(result[box], truth[box])


def landmark_error(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Mean distance of 68 points from their references, in % of the reference's eye distance.

    points, reference  (..., 68, 2)  in one unit
    returns            (...)
    """
    distance = np.linalg.norm(points - reference, axis=-1).mean(-1)
    return 100 * distance / eye_distance(reference)


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def interval_over_people(
    values: Sequence[float], people: Sequence[str], resamples: int, seed: int
) -> Interval:
    """Mean over people and its 95 % percentile bootstrap interval: people are drawn again, not
    photos.

    values     one number a pair; NaN or infinite where it could not be measured
    people     the target's person of each pair
    resamples  bootstrap samples
    returns    NaN where nothing could be measured; low = high = mean for one person
    """
    sums: dict[str, list[float]] = {}
    for value, person in zip(values, people, strict=True):
        if math.isfinite(value):
            sums.setdefault(person, []).append(value)
    means = np.array([np.mean(sums[person]) for person in sorted(sums)])
    if len(means) == 0:
        return Interval(math.nan, math.nan, math.nan)
    middle = float(means.mean())
    if len(means) == 1 or np.ptp(means) == 0:
        return Interval(middle, middle, middle)
    from scipy.stats import bootstrap  # slow to import, and workers do without

    result = bootstrap(
        (means,),
        np.mean,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng([seed, 3]),
    )
    low, high = result.confidence_interval
    return Interval(middle, float(low), float(high))
