"""SSIM, PSNR and sharpness of many photos at once on any device, whole or in parts of the face, and
landmark error."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import ConvexHull
from torch import Tensor

from expr_lib.points import IBUG68, LANDMARK_PARTS, Layout, eye_distance

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
    return ssim_in(results, truths, (), window, device)[0]


def ssim_in(
    results: np.ndarray,
    truths: np.ndarray,
    masks: Sequence[np.ndarray],
    window: str = "gaussian",
    device: torch.device = CPU,
) -> np.ndarray:
    """`ssim` of whole photos, and its means over the windows around some pixels alone, in one go.

    masks    M times (..., H, W) bool: the pixels whose windows count; a window reaches beyond them
    returns  (1 + M, ...) float64: whole, then inside each mask; NaN where no window counts
    """
    height, width = results.shape[-3:-1]
    bands = ssim_bands(height, width, window, device)
    edge = (width - len(bands.columns)) // 2

    def measure(x: Tensor, y: Tensor, *masks: Tensor) -> Tensor:
        found = ssim_map(x, y, bands)
        parts = (_mean_of(found, mask[..., edge:-edge, edge:-edge]) for mask in masks)
        return torch.stack([_mean_of(found), *parts], 1)

    return np.moveaxis(_in_batches(measure, device, results, truths, *masks), -1, 0)


@dataclass(frozen=True)
class Bands:
    """The windows of SSIM over the rows and the columns of a photo, as band matrices.

    rows, columns  (windows, H) and (windows, W) weights
    unbiased       factor of the variances
    """

    rows: Tensor
    columns: Tensor
    unbiased: float


def ssim_bands(height: int, width: int, window: str, device: torch.device) -> Bands:
    """The windows that lie inside a photo, see `ssim`. Raises ValueError when none does."""
    # torchmetrics knows no sample covariance, and needs its full map cropped by hand for the rest
    if window == "gaussian":
        weights = torch.exp(-(torch.arange(-5.0, 6) ** 2) / (2 * 1.5**2))
        unbiased = 1.0
    else:
        weights = torch.ones(7)
        unbiased = 49 / 48
    if min(height, width) < len(weights):
        raise ValueError(f"a photo of {width} x {height} pixels is smaller than SSIM's window")
    # a weighted mean over a window is one product with a band matrix a side
    weights /= weights.sum()
    rows, columns = (torch.eye(n).unfold(0, len(weights), 1) @ weights for n in (height, width))
    return Bands(rows.to(device), columns.to(device), unbiased)


def ssim_map(x: Tensor, y: Tensor, bands: Bands) -> Tensor:
    """SSIM of each window, (N, C, H - edges, W - edges), of photos (N, C, H, W) in 0..255."""
    rows, columns, unbiased = bands.rows, bands.columns, bands.unbiased
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
    return brightness * structure


def psnr(
    results: np.ndarray,
    truths: np.ndarray,
    device: torch.device = CPU,
    *,
    inside: np.ndarray | None = None,
) -> np.ndarray:
    """Peak signal-to-noise ratio in dB, data range 255; infinite for equal photos.

    results, truths  (..., H, W, 3) uint8
    device           where to compute
    inside           (..., H, W) bool: which pixels count; all by default
    returns          (...) float64, NaN where no pixel counts
    raises           ValueError when the photos are not alike
    """

    def measure(x: Tensor, y: Tensor, *masks: Tensor) -> Tensor:
        return _mean_of((x - y) ** 2, *masks)

    masks = () if inside is None else (inside,)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / _in_batches(measure, device, results, truths, *masks))


def sharpness(
    results: np.ndarray, truths: np.ndarray, inside: np.ndarray, device: torch.device = CPU
) -> np.ndarray:
    """Sharpness of results relative to their truths: the variance of the luma's Laplacian (Pech-
    Pacheco et al. 2000), result / truth. 1 is as sharp, less is blurred, more is noise or edges.

    results, truths  (..., H, W, 3) uint8
    inside           (..., H, W) bool, which pixels count; those of the photo's border never do
    device           where to compute
    returns          (...) float64; NaN where no pixel counts or both are flat
    raises           ValueError when the photos are not alike
    """
    luma = torch.tensor([0.299, 0.587, 0.114], device=device).reshape(3, 1, 1)  # ITU-R 601

    def variance(x: Tensor, mask: Tensor) -> Tensor:
        x = (x * luma).sum(1, keepdim=True)
        around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
        laplacian = around - 4 * x[..., 1:-1, 1:-1]
        middle = _mean_of(laplacian, mask).reshape(-1, 1, 1, 1)
        return _mean_of((laplacian - middle) ** 2, mask)

    def measure(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        mask = mask[..., 1:-1, 1:-1]
        return variance(x, mask) / variance(y, mask)

    return _in_batches(measure, device, results, truths, inside)


def face_mask(points: np.ndarray, size: int) -> np.ndarray:
    """Pixels whose centres lie in the convex hull of the 68 points: the face from brows to chin.

    points   (..., 68, 2)  crop widths
    size     side of the crop, pixels
    returns  (..., size, size) bool
    raises   scipy.spatial.QhullError when the points of a face lie all in one line
    """
    y, x = (np.indices((size, size)) + 0.5) / size
    mask = np.empty((*points.shape[:-2], size, size), bool)
    for index in np.ndindex(points.shape[:-2]):
        sides = ConvexHull(points[index]).equations  # a x + b y + c <= 0 inside
        mask[index] = np.all([a * x + b * y + c <= 0 for a, b, c in sides], axis=0)
    return mask


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


def mouth_mask(points: np.ndarray, size: int) -> np.ndarray:
    """Pixels of the mouth boxes, see `mouth_box`.

    points   (..., 68, 2)  crop widths
    size     side of the crop, pixels
    returns  (..., size, size) bool
    """
    mask = np.zeros((*points.shape[:-2], size, size), bool)
    for index in np.ndindex(points.shape[:-2]):
        mask[index][mouth_box(points[index], size)] = True
    return mask


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
    return psnr(results, truths, device, inside=mouth_mask(truth_points, truths.shape[-3]))


def _mean_of(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Means of (N, C, H, W) over all pixels, or over those of a mask (N, 1, H, W) of 0 and 1."""
    if mask is None:
        return values.mean((1, 2, 3))
    return (values.mean(1, keepdim=True) * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))


def _in_batches(
    measure: Callable[..., Tensor],
    device: torch.device,
    results: np.ndarray,
    truths: np.ndarray,
    *masks: np.ndarray,
) -> np.ndarray:
    """`measure` of photos (..., H, W, C) uint8 and masks (..., H, W), given as (N, C, H, W) float32
    on the device."""
    if results.shape != truths.shape or {results.dtype, truths.dtype} != {np.dtype(np.uint8)}:
        raise ValueError(
            "photos to compare are uint8 of one shape, not "
            f"{results.shape} {results.dtype} and {truths.shape} {truths.dtype}"
        )
    if any(mask.shape != results.shape[:-1] for mask in masks):
        raise ValueError(
            f"masks of {[mask.shape for mask in masks]} do not fit photos of {results.shape}"
        )
    count = math.prod(results.shape[:-3])
    pictures = [results, truths, *(mask[..., None] for mask in masks)]
    flat = [each.reshape(count, *each.shape[-3:]) for each in pictures]

    def given(batch: np.ndarray) -> Tensor:  # a copy: torch takes no mirrored array
        return torch.from_numpy(batch.copy()).to(device).permute(0, 3, 1, 2).float()

    places = range(0, max(count, 1), BATCH)  # no photos: still one batch, which has the shape
    found = torch.cat([measure(*(given(each[i : i + BATCH]) for each in flat)) for i in places])
    found = found.reshape((*results.shape[:-3], *found.shape[1:]))
    return found.cpu().double().numpy()[()]


def landmark_error(
    points: np.ndarray,
    reference: np.ndarray,
    layout: Layout = IBUG68,
    part: str | None = None,
) -> np.ndarray:
    """Mean distance of landmarks from their references, in % of the reference's eye distance.

    points, reference  (..., K, 2)  in one unit; K = 68 unless the layout says otherwise
    part               one of the layout's parts instead of the whole face
    returns            (...)
    """
    chosen = slice(None) if part is None else list(layout.parts[part])
    distance = np.linalg.norm(points - reference, axis=-1)[..., chosen].mean(-1)
    return 100 * distance / eye_distance(reference, layout)
