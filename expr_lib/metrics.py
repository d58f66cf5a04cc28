"""SSIM and PSNR of many photos at once on any device, landmark error, and confidence intervals over
people."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from expr_lib.points import LANDMARK_PARTS, eye_distance

MOUTH_MARGIN = 1.5
"""Side of the mouth box in units of the lips' own width and height."""

BATCH = 8
"""Photos measured at once: enough to keep a GPU busy, few enough for a CPU's cache."""

CPU = torch.device("cpu")


def ssim(
    results: np.ndarray, truths: np.ndarray, window: str = "gaussian", device: torch.device = CPU
) -> np.ndarray:
    """Structural similarity (Wang et al. 2004), data range 255: scikit-image's, in float32. Mean
    over channels and over the windows that lie inside.

    results, truths  (..., H, W, 3) uint8
    window           `gaussian`: 11 x 11, sigma 1.5, no sample covariance [10]; `uniform`: 7 x 7
                     with sample covariance, scikit-image's default
    device           where to compute, with PyTorch's default precision of float32 products
    returns          (...) float64, at most 1; the same bits for the same input on a CPU
    raises           ValueError when the photos are not alike or smaller than the window
    """
    # torchmetrics knows no sample covariance, and needs its full map cropped by hand for the rest
    if window == "gaussian":
        weights = torch.exp(-(torch.arange(-5.0, 6) ** 2) / (2 * 1.5**2))
        unbiased = 1.0
    else:
        weights = torch.ones(7)
        unbiased = 49 / 48
    height, width = results.shape[-3:-1]
    if min(height, width) < len(weights):
        raise ValueError(f"a photo of {width} x {height} pixels is smaller than SSIM's window")
    # a weighted mean over a window is one product with a band matrix a side
    weights /= weights.sum()
    rows, columns = (torch.eye(n).unfold(0, len(weights), 1) @ weights for n in (height, width))
    rows, columns = rows.to(device), columns.to(device)

    def measure(x: Tensor, y: Tensor) -> Tensor:
        # of difference and sum rather than of x and y: four means instead of five, and what
        # is nearly equal is not lost in E[x²] - E[x]²; the sum is centred for the same reason
        d, s = x - y, x + y - 255
        mean_d, mean_s, square_d, square_s = rows @ torch.stack([d, s, d * d, s * s]) @ columns.T
        var_d = unbiased * (square_d - mean_d**2).clamp_min(0)
        var_s = unbiased * (square_s - mean_s**2).clamp_min(0)
        mean_d, mean_s = mean_d**2, (mean_s + 255) ** 2
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        brightness = 1 - 2 * mean_d / (mean_d + mean_s + 2 * c1)
        structure = 1 - 2 * var_d / (var_d + var_s + 2 * c2)
        return (brightness * structure).mean((1, 2, 3))

    return _in_batches(measure, device, results, truths)


def psnr(results: np.ndarray, truths: np.ndarray, device: torch.device = CPU) -> np.ndarray:
    """Peak signal-to-noise ratio in dB, data range 255; infinite for equal photos.

    results, truths  (..., H, W, 3) uint8
    device           where to compute
    returns          (...) float64
    raises           ValueError when the photos are not alike
    """

    def measure(x: Tensor, y: Tensor) -> Tensor:
        return ((x - y) ** 2).mean((1, 2, 3))

    return _decibels(_in_batches(measure, device, results, truths))


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


def mouth_psnr(
    results: np.ndarray, truths: np.ndarray, truth_points: np.ndarray, device: torch.device = CPU
) -> np.ndarray:
    """PSNR in dB inside the mouth boxes of the truths.

    results, truths  (..., H, W, 3) uint8
    truth_points     (..., 68, 2)  crop widths
    device           where to compute
    returns          (...) float64
    raises           ValueError when the photos are not alike
    """
    inside = np.zeros((*truths.shape[:-1], 1), np.uint8)
    for index in np.ndindex(truths.shape[:-3]):
        inside[index][mouth_box(truth_points[index], truths.shape[-3])] = 1

    def measure(x: Tensor, y: Tensor, inside: Tensor) -> Tensor:
        squares = ((x - y) ** 2).mean(1, keepdim=True) * inside
        return squares.sum((1, 2, 3)) / inside.sum((1, 2, 3))

    return _decibels(_in_batches(measure, device, results, truths, inside))


def _in_batches(
    measure: Callable[..., Tensor], device: torch.device, *pictures: np.ndarray
) -> np.ndarray:
    """`measure` of pictures (..., H, W, C) uint8, given as (N, C, H, W) float32 on the device."""
    results, truths = pictures[:2]
    if results.shape != truths.shape or {results.dtype, truths.dtype} != {np.dtype(np.uint8)}:
        raise ValueError(
            "photos to compare are uint8 of one shape, not "
            f"{results.shape} {results.dtype} and {truths.shape} {truths.dtype}"
        )
    count = math.prod(results.shape[:-3])
    flat = [each.reshape(count, *each.shape[-3:]) for each in pictures]

    def given(batch: np.ndarray) -> Tensor:  # a copy: torch takes no mirrored array
        return torch.from_numpy(batch.copy()).to(device).permute(0, 3, 1, 2).float()

    parts = [
        measure(*(given(each[i : i + BATCH]) for each in flat)) for i in range(0, count, BATCH)
    ]
    found = torch.cat(parts) if parts else torch.zeros(0)
    return found.cpu().double().numpy().reshape(results.shape[:-3])[()]


def _decibels(mean_square: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / mean_square)


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
    from scipy.stats import bootstrap  # slow to import

    result = bootstrap(
        (means,),
        np.mean,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng([seed, 3]),
    )
    low, high = result.confidence_interval
    return Interval(middle, float(low), float(high))
