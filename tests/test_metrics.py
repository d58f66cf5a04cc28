"""SSIM, PSNR, sharpness and landmark error, each against numbers worked out another way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, laplace
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from expr_lib.metrics import (
    face_mask,
    landmark_error,
    mouth_box,
    mouth_mask,
    mouth_psnr,
    psnr,
    sharpness,
    ssim,
    ssim_in,
)
from expr_lib.photos import as_grey
from expr_lib.points import EXPRESSIVE_PARTS, IBUG68, LANDMARK_PARTS

if TYPE_CHECKING:
    from expr_lib.sources.synthetic import Rendered

LIPS = [*LANDMARK_PARTS["outer_lip"], *LANDMARK_PARTS["inner_lip"]]


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A noisy picture with some structure, and the same one darker and noisier."""
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.normal(size=(48, 48, 3)), (4, 4, 0)) * 800 + 128
    pictures = (smooth, 0.8 * smooth + rng.normal(scale=15, size=smooth.shape))
    first, second = (np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in pictures)
    return first, second


def _wang_2004(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of one channel from its formula: sigma 1.5, 11 x 11 window, borders of 5 left out."""

    def mean(x: np.ndarray) -> np.ndarray:
        return gaussian_filter(x, 1.5, truncate=3.5)[5:-5, 5:-5]

    a, b = a.astype(float), b.astype(float)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    top = (2 * ma * mb + c1) * (2 * vab + c2)
    return float((top / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())


# --- pictures


def test_ssim_is_the_formula_of_wang_2004_as_a_mean_over_channels(pair) -> None:
    expected = np.mean([_wang_2004(pair[0][..., c], pair[1][..., c]) for c in range(3)])
    assert 0.2 < expected < 0.95
    assert ssim(*pair) == pytest.approx(expected, abs=2e-6)


def _kinds(size: int, face: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs of photos (size, size, 3) that strain a float32 each in another way."""
    rng = np.random.default_rng(size)
    noise = rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    face = face[:: len(face) // size, :: len(face) // size]
    nearly = face.copy()
    nearly[size // 2, size // 2] ^= 1
    flat, black = np.full_like(face, 200), np.zeros_like(face)
    board = np.where(np.indices((size, size)).sum(0)[..., None] // 5 % 2, face | 255, black)
    spread = np.clip(face + rng.normal(scale=12, size=face.shape), 0, 255).astype(np.uint8)
    return {
        "noise": (noise[0], noise[1]),
        "nearly equal": (nearly, face),
        "one level apart": (flat + 1, flat),
        "bright noise": (noise[0] // 64 + 250, noise[1] // 64 + 250),
        "flat and a face": (flat, face),
        "black and white": (black, black | 255),
        "black and a board": (black, board),
        "board and its inverse": (board, 255 - board),
        "faces": (spread, face),
        "a face and its mirror": (face[:, ::-1], face),
        "grey faces": (as_grey(spread), as_grey(face)),
    }


@pytest.mark.parametrize("size", [64, 128, 256])
def test_ssim_and_psnr_are_scikit_images(size: int, drawn_face: Rendered) -> None:
    original = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    kinds = _kinds(size, drawn_face.image)
    results, truths = (np.stack([pair[i] for pair in kinds.values()]) for i in (0, 1))
    for window, options in (("gaussian", original), ("uniform", {})):
        expected = [
            structural_similarity(truth, result, channel_axis=2, data_range=255, **options)
            for result, truth in kinds.values()
        ]
        found = ssim(results, truths, window)
        worst = dict(zip(kinds, abs(found - expected), strict=True))
        assert max(worst.values()) < 1e-5, (window, worst)
        np.testing.assert_array_equal(ssim(results, truths, window), found)  # bit for bit
    expected = [peak_signal_noise_ratio(t, r, data_range=255) for r, t in kinds.values()]
    np.testing.assert_allclose(psnr(results, truths), expected, atol=1e-4, rtol=0)


def test_the_window_matters(pair) -> None:
    assert abs(ssim(*pair) - ssim(*pair, "uniform")) > 1e-3


def test_many_photos_are_measured_as_one_by_one(pair) -> None:
    rng = np.random.default_rng(1)
    results, truths = rng.integers(0, 256, (2, 3, 7, 40, 48, 3), dtype=np.uint8)
    results[0, 2] = truths[0, 2]
    for measure in (ssim, psnr):
        found = measure(results, truths)
        assert found.shape == (3, 7)
        assert found[0, 2] == measure(truths[0, 2], truths[0, 2]) != found[2, 6]
        one_by_one = [measure(results[i], truths[i]) for i in np.ndindex(3, 7)]
        np.testing.assert_allclose(found.ravel(), one_by_one, rtol=1e-5)
        assert measure(results[0, :0], truths[0, :0]).shape == (0,)
        mirrored = measure(results[..., ::-1, :], truths[..., ::-1, :])
        np.testing.assert_allclose(mirrored, found, rtol=1e-5)


@pytest.mark.parametrize("measure", [ssim, psnr])
def test_photos_that_cannot_be_compared_are_refused(measure, pair) -> None:
    first, second = pair
    for other in (second[None], second[:-1], second[..., :1], second.astype(np.float32)):
        with pytest.raises(ValueError, match="uint8 of one shape"):
            measure(first, other)
    with pytest.raises(ValueError, match="smaller than SSIM's window"):
        ssim(first[:10], second[:10])


@pytest.mark.parametrize("window", ["gaussian", "uniform"])
def test_ssim_of_equal_pictures_is_one_and_of_others_less(pair, window) -> None:
    first, second = pair
    assert ssim(first, first, window) == pytest.approx(1)
    assert ssim(first, second, window) < 1
    assert ssim(first, second, window) == pytest.approx(ssim(second, first, window))
    assert ssim(first, 255 - first, window) < 0


def test_psnr_by_hand() -> None:
    grey = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(grey + 1, grey) == pytest.approx(20 * math.log10(255))
    assert psnr(grey - 10, grey) == pytest.approx(20 * math.log10(255 / 10))
    one = grey.copy()
    one[0, 0, 0] += 48  # mean square 48² / 48 = 48
    assert psnr(one, grey) == pytest.approx(10 * math.log10(255**2 / 48))
    assert psnr(np.zeros_like(grey), np.full_like(grey, 255)) == pytest.approx(0)


def test_psnr_of_equal_pictures_is_infinite_without_a_warning(pair, recwarn) -> None:
    assert psnr(pair[0], pair[0].copy()) == math.inf
    assert not recwarn.list


# --- the mouth


def _with_lips(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    points = np.full((68, 2), 0.5, np.float32)
    points[LIPS] = np.linspace([left, top], [right, bottom], len(LIPS))
    return points


def test_the_mouth_box_is_the_lips_box_one_and_a_half_times_as_large() -> None:
    rows, columns = mouth_box(_with_lips(0.375, 0.625, 0.625, 0.75), 128)
    # lips: x 48 to 80, y 80 to 96; 1.5 times: x 40 to 88, y 76 to 100
    assert (columns.start, columns.stop) == (40, 88)
    assert (rows.start, rows.stop) == (76, 100)


def test_the_mouth_box_follows_the_lips_alone() -> None:
    points = _with_lips(0.4, 0.6, 0.6, 0.7)
    moved = points.copy()
    others = np.setdiff1d(np.arange(68), LIPS)
    moved[others] = np.random.default_rng(0).random((len(others), 2))
    assert mouth_box(points, 64) == mouth_box(moved, 64)


@pytest.mark.parametrize("size", [16, 64, 256])
@pytest.mark.parametrize(
    "lips",
    [
        (0.4, 0.9, 0.6, 1.1),
        (-0.2, -0.1, 0.1, 0.05),
        (0.9, 0.95, 1.0, 1.0),
        (3.0, 3.0, 3.1, 3.1),
        (-3.0, -3.0, -2.9, -2.9),
        (0.5, 0.5, 0.5, 0.5),
        (-1.0, -1.0, 2.0, 2.0),
    ],
)
def test_the_mouth_box_lies_inside_the_crop_and_is_never_empty(lips, size) -> None:
    for box in mouth_box(_with_lips(*lips), size):
        assert 0 <= box.start < box.stop <= size
        assert box.stop - box.start >= 4


def test_mouth_psnr_sees_the_mouth_and_nothing_else() -> None:
    points = _with_lips(0.4, 0.6, 0.6, 0.75)
    truth = np.full((64, 64, 3), 100, np.uint8)
    box = mouth_box(points, 64)
    outside = np.full_like(truth, 0)
    outside[box] = 100
    assert mouth_psnr(outside, truth, points) == math.inf
    inside = truth.copy()
    inside[box] += 10
    assert mouth_psnr(inside, truth, points) == pytest.approx(20 * math.log10(255 / 10))


def test_each_photo_has_its_own_mouth_box() -> None:
    rng = np.random.default_rng(2)
    results, truths = rng.integers(0, 256, (2, 11, 64, 64, 3), dtype=np.uint8)
    points = np.stack([_with_lips(0.3, 0.5, 0.4 + i / 40, 0.6 + i / 60) for i in range(11)])
    boxes = [mouth_box(each, 64) for each in points]
    assert len({str(box) for box in boxes}) == 11
    expected = [
        peak_signal_noise_ratio(truth[box], result[box], data_range=255)
        for result, truth, box in zip(results, truths, boxes, strict=True)
    ]
    found = mouth_psnr(results, truths, points)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


# --- parts of the face


def _face_points(drawn_face: Rendered) -> np.ndarray:
    return (drawn_face.landmarks + 0.5) / drawn_face.image.shape[0]


def test_the_face_mask_holds_the_pixels_whose_centres_lie_in_the_hull() -> None:
    points = np.full((2, 68, 2), 0.5)
    points[0, :4] = [[0.25, 0.25], [0.75, 0.25], [0.75, 0.5], [0.25, 0.5]]
    points[1, :4] = [
        [0.5, 0.05],
        [0.95, 0.5],
        [0.5, 0.95],
        [0.05, 0.5],
    ]  # |x - .5| + |y - .5| < .45
    mask = face_mask(points, 16)
    assert mask.shape == (2, 16, 16) and mask.dtype == bool
    rows, columns = np.nonzero(mask[0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 7, 4, 11)
    assert mask[0].sum() == 4 * 8
    y, x = (np.indices((16, 16)) + 0.5) / 16 - 0.5
    np.testing.assert_array_equal(mask[1], abs(x) + abs(y) < 0.45)


def test_the_mouth_mask_is_the_mouth_box() -> None:
    points = np.stack([_with_lips(0.3, 0.6, 0.6, 0.7), _with_lips(0.4, 0.5, 0.7, 0.9)])
    mask = mouth_mask(points, 64)
    for each, inside in zip(points, mask, strict=True):
        box = mouth_box(each, 64)
        assert inside[box].all()
        assert inside.sum() == inside[box].size


@pytest.mark.parametrize("window", ["gaussian", "uniform"])
def test_ssim_in_a_part_is_the_mean_of_scikit_images_map_there(
    window: str, drawn_face: Rendered
) -> None:
    kinds = _kinds(128, drawn_face.image)
    results, truths = (np.stack([pair[i] for pair in kinds.values()]) for i in (0, 1))
    points = np.repeat(_face_points(drawn_face)[None], len(kinds), axis=0)
    points = points + np.linspace(-0.4, 0.3, len(kinds))[:, None, None]  # over the border too
    masks = face_mask(points, 128), mouth_mask(points, 128)
    options = (
        {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        if window == "gaussian"
        else {}
    )
    edge = 5 if window == "gaussian" else 3
    expected = []
    for i, (result, truth) in enumerate(kinds.values()):
        _, full = structural_similarity(
            truth, result, channel_axis=2, data_range=255, full=True, **options
        )
        full = full.mean(-1)[edge:-edge, edge:-edge]
        whole = np.ones_like(full, bool)
        inside = [whole, *(mask[i, edge:-edge, edge:-edge] for mask in masks)]
        expected.append([full[mask].mean() for mask in inside])
    found = ssim_in(results, truths, masks, window)
    np.testing.assert_allclose(found, np.transpose(expected), atol=1e-5, rtol=0)
    np.testing.assert_array_equal(found[0], ssim(results, truths, window))  # bit for bit


def test_psnr_in_a_part_sees_that_part_alone(drawn_face: Rendered) -> None:
    truth = drawn_face.image
    mask = face_mask(_face_points(drawn_face), len(truth))
    assert 0.15 < mask.mean() < 0.6
    noisy = np.random.default_rng(0).integers(0, 256, truth.shape, dtype=np.uint8)
    outside = np.where(mask[..., None], truth, noisy)
    assert psnr(outside, truth, inside=mask) == math.inf
    expected = peak_signal_noise_ratio(truth[mask], noisy[mask], data_range=255)
    assert psnr(noisy, truth, inside=mask) == pytest.approx(expected, abs=1e-4)


def test_sharpness_is_the_ratio_of_the_laplacians_variances(drawn_face: Rendered) -> None:
    truth = drawn_face.image
    soft, noisy = (
        np.clip(np.rint(x), 0, 255).astype(np.uint8)
        for x in (
            gaussian_filter(truth.astype(float), (2, 2, 0)),
            truth + np.random.default_rng(0).normal(scale=20, size=truth.shape),
        )
    )
    results = np.stack([truth, soft, noisy])
    truths = np.repeat(truth[None], 3, axis=0)
    masks = np.repeat(face_mask(_face_points(drawn_face), len(truth))[None], 3, axis=0)
    spread = [laplace(each @ [0.299, 0.587, 0.114])[masks[0]].var() for each in results]
    found = sharpness(results, truths, masks)
    np.testing.assert_allclose(found, np.array(spread) / spread[0], rtol=1e-4)
    assert found[1] < 0.5 < found[0] == 1 < 2 < found[2]
    blurred_outside = np.where(masks[0][..., None], truth, soft)
    inner = masks[0] & np.roll(masks[0], 1, 0) & np.roll(masks[0], -1, 0)
    inner &= np.roll(masks[0], 1, 1) & np.roll(masks[0], -1, 1)
    assert sharpness(blurred_outside, truth, inner) == 1


def test_where_no_pixel_counts_nothing_is_measured(pair) -> None:
    border = np.zeros((48, 48), bool)
    border[0] = True  # no window of SSIM has its middle there, and no Laplacian
    assert math.isnan(ssim_in(*pair, [border])[1])
    assert math.isnan(sharpness(*pair, border))
    assert math.isnan(psnr(*pair, inside=np.zeros((48, 48), bool)))
    with pytest.raises(ValueError, match="do not fit photos"):
        psnr(*pair, inside=border[None])


# --- landmarks


def test_landmark_error_by_hand() -> None:
    reference = np.zeros((68, 2))
    reference[[36, 39]] = [[10, 50], [30, 50]]
    reference[[42, 45]] = [[60, 50], [80, 50]]  # eye centres 20 and 70: 50 apart
    assert landmark_error(reference, reference) == 0
    assert landmark_error(reference + np.array([3, 4]), reference) == pytest.approx(10)
    one = reference.copy()
    one[5] += [0, 34]  # 34 / 68 = 0.5 on average
    assert landmark_error(one, reference) == pytest.approx(1)


def test_landmark_error_is_a_ratio_by_the_references_eyes() -> None:
    rng = np.random.default_rng(0)
    reference, points = rng.random((2, 4, 5, 68, 2))
    error = landmark_error(points, reference)
    assert error.shape == (4, 5)
    np.testing.assert_allclose(landmark_error(points * 256, reference * 256), error)
    assert landmark_error(points[1, 2], reference[1, 2]) == pytest.approx(error[1, 2])
    assert (landmark_error(reference, points) != error).all()


def test_the_error_of_a_part_sees_that_part_alone_by_the_same_unit() -> None:
    rng = np.random.default_rng(0)
    reference = rng.random((68, 2))
    points = reference.copy()
    moved = [*range(48, 68)]
    points[moved] += [0.3, 0.4]  # by 0.5
    distance = np.linalg.norm(np.diff(reference[[36, 42]] / 2 + reference[[39, 45]] / 2, axis=0))
    found = {part: landmark_error(points, reference, part=part) for part in EXPRESSIVE_PARTS}
    assert found["mouth"] == pytest.approx(50 / distance)
    assert found["brows"] == found["eyes"] == 0
    assert landmark_error(points, reference) == pytest.approx(50 / distance * 20 / 68)


def test_the_expressive_parts_are_the_mouth_the_brows_and_the_eyes() -> None:
    assert {
        p: (min(IBUG68.parts[p]), max(IBUG68.parts[p]), len(IBUG68.parts[p]))
        for p in EXPRESSIVE_PARTS
    } == {
        "mouth": (48, 67, 20),
        "brows": (17, 26, 10),
        "eyes": (36, 47, 12),
    }
