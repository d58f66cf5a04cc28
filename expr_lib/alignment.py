"""Bringing every face to one place and size, by the landmarks that an expression moves least.

Two systems of coordinates meet here. On a photo, landmarks are pixel indices as dlib gives them:
3.0 is the centre of the fourth pixel. In a crop they are in crop widths: 0 is the left (upper) edge
of the crop and 1 its right (lower) edge, so that pixel `i` of a crop of `size` pixels has its
centre at `(i + 0.5) / size`, a point lies at pixel index `x * size - 0.5`, and a mirrored face is
exactly `1 - x`.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.transform import SimilarityTransform, warp

ALIGNMENT = "eye corners and jaw ends, 1"
"""Name of this alignment; it changes with the points, the template or the resampling."""

FIXED_POINTS = (36, 39, 42, 45, 0, 1, 2, 14, 15, 16)
"""The points that are fitted: the four eye corners and the three upper points of the jaw on each
side."""

TEMPLATE: NDArray[np.float64] = np.array(
    [
        (0.3074, 0.3889),
        (0.4192, 0.3924),
        (0.5808, 0.3924),
        (0.6926, 0.3889),
        (0.1868, 0.4070),
        (0.1939, 0.4897),
        (0.2071, 0.5699),
        (0.7929, 0.5699),
        (0.8061, 0.4897),
        (0.8132, 0.4070),
    ]
)
"""Where they go, in crop widths: the mean neutral face of the London set, made symmetric, its eye
centres at (93, 100) / 256 and (163, 100) / 256. `benchmarks/alignment.py` computes it again and
compares other choices of points."""

TEMPLATE.setflags(write=False)
_MARGIN = 6  # crop pixels around the part of the photo that is resampled: the reach of both filters


def similarity(points: NDArray[np.floating], size: int) -> NDArray[np.float64]:
    """Fit the similarity transform (no reflection) that takes a face onto the template, in least
    squares (Umeyama 1991).

    points   (68, 2)  x, y on the photo, pixel indices
    size     side of the crop, pixels
    returns  (2, 3)  takes pixel indices of the photo to pixel indices of the crop
    raises   ValueError when points are not (68, 2), not finite, or lie all in one place
    """
    points = np.asarray(points, dtype=np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise ValueError(f"landmarks must be 68 finite points, these have shape {points.shape}")
    fit = SimilarityTransform.from_estimate(points[list(FIXED_POINTS)], TEMPLATE * size - 0.5)
    # scikit-image returns an object that is false, and no exception, when the points admit no fit
    if not fit or not np.isfinite(fit.params).all():
        raise ValueError("the landmarks lie all in one place, no transform can be fitted to them")
    return np.asarray(fit.params[:2], dtype=np.float64)


def align(
    image: NDArray[np.uint8], points: NDArray[np.floating], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Cut the aligned face out of a photo; beyond the photo's edge its outermost pixels are
    repeated.

    image    (H, W, 3) uint8
    points   (68, 2)  x, y on the photo, pixel indices
    size     side of the crop, pixels
    returns  crop (size, size, 3) uint8, and the points in it (68, 2) in crop widths, which may lie
             outside 0..1
    raises   ValueError as `similarity` does
    """
    matrix = similarity(points, size)
    mapped = np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]
    to_photo = np.linalg.inv(np.vstack([matrix, (0.0, 0.0, 1.0)]))
    part, to_part = _reduced_part(image, to_photo, size)
    crop = warp(
        part,
        to_part @ to_photo,
        output_shape=(size, size),
        order=3,
        mode="edge",
        preserve_range=True,
    )
    return np.rint(crop).clip(0, 255).astype(np.uint8), ((mapped + 0.5) / size).astype(np.float32)


def _reduced_part(
    image: NDArray[np.uint8], to_photo: NDArray[np.float64], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Cut out the part of the photo that the crop shows and, if the crop is smaller, reduce it with
    a filter.

    Reading single pixels out of a larger photo would alias hair and stubble into false patterns, so
    that the change of size is done here, with averaging, and the warp that follows only turns and
    shifts.
    returns  the part (h, w, 3) uint8, and the (3, 3) matrix from the photo's pixel indices to the
             part's
    """
    height, width = image.shape[:2]
    shrink = max(1.0, float(np.hypot(to_photo[0, 0], to_photo[1, 0])))  # photo pixels a crop pixel
    corners = np.array([(0, 0, 1), (size - 1, 0, 1), (0, size - 1, 1), (size - 1, size - 1, 1)])
    seen = corners @ to_photo[:2].T
    margin = _MARGIN * shrink
    left, top = (np.floor(seen.min(axis=0) - margin).clip(0, (width - 1, height - 1))).astype(int)
    right, bottom = (
        np.ceil(seen.max(axis=0) + margin).clip((left, top), (width - 1, height - 1)) + 1
    ).astype(int)
    part = image[top:bottom, left:right]
    new = max(1, round((right - left) / shrink)), max(1, round((bottom - top) / shrink))
    scale = np.array([new[0] / (right - left), new[1] / (bottom - top)])
    if shrink > 1.0:
        part = np.asarray(Image.fromarray(part).resize(new, Image.Resampling.LANCZOS))
    else:
        scale[:] = 1.0
    # pixel centres: index i of the photo is i + 0.5 of its edge, and edges map to edges
    shift = (0.5 - np.array([left, top])) * scale - 0.5
    return part, np.array([(scale[0], 0.0, shift[0]), (0.0, scale[1], shift[1]), (0.0, 0.0, 1.0)])
