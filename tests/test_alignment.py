"""Alignment: where a point of the photo lands in the crop, and what the crop shows."""

import numpy as np
import pytest

from expr_lib.alignment import FIXED_POINTS, TEMPLATE, align, similarity

EYES = np.array([(93, 100), (163, 100)]) / 256
MIRROR_OF_FIXED = [3, 2, 1, 0, 9, 8, 7, 6, 5, 4]


def _face(
    scale: float = 300.0, angle: float = 0.0, shift: tuple[float, float] = (40.0, 25.0)
) -> np.ndarray:
    """68 points whose fixed ones are the template, scaled, turned (degrees) and moved; the others
    anywhere inside."""
    face = np.random.default_rng(0).uniform(0.3, 0.8, (68, 2))
    face[list(FIXED_POINTS)] = TEMPLATE
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return face * scale @ np.array([(cos, sin), (-sin, cos)]) + shift


def _spot(height: int, width: int, centre: np.ndarray, sigma: float) -> np.ndarray:
    """A black photo with a white Gaussian spot at a place in pixel indices."""
    y, x = np.mgrid[:height, :width]
    spot = 250 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * sigma**2))
    return np.repeat(np.rint(spot).astype(np.uint8)[..., None], 3, axis=2)


def _centroid(image: np.ndarray) -> np.ndarray:
    weight = image[..., 0].astype(float)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def test_template_is_symmetric_with_the_eyes_where_documented() -> None:
    mirrored = TEMPLATE[MIRROR_OF_FIXED] * (-1, 1) + (1, 0)
    np.testing.assert_allclose(TEMPLATE, mirrored, atol=1e-9)
    np.testing.assert_allclose(TEMPLATE[:4].reshape(2, 2, 2).mean(axis=1), EYES, atol=1e-4)


@pytest.mark.parametrize("angle", [0.0, 17.0, -170.0])
@pytest.mark.parametrize("scale", [90.0, 700.0])
def test_a_moved_template_is_brought_back_exactly(scale: float, angle: float) -> None:
    points = _face(scale, angle)
    _, placed = align(np.zeros((8, 8, 3), np.uint8), points, 64)
    np.testing.assert_allclose(placed[list(FIXED_POINTS)], TEMPLATE, atol=1e-5)


@pytest.mark.parametrize(
    ("scale", "angle", "size"),
    [(330.0, 11.0, 64), (700.0, -7.0, 128), (100.0, 5.0, 128), (64.0, 0.0, 64)],
)
def test_a_painted_point_lands_where_its_landmark_says(
    scale: float, angle: float, size: int
) -> None:
    points = _face(scale, angle, (60.0, 90.0))
    for index in (30, 48, 8):
        photo = _spot(900, 800, points[index], sigma=max(1.5, 2.0 * scale / size))
        crop, placed = align(photo, points, size)
        assert np.linalg.norm(_centroid(crop) - (placed[index] * size - 0.5)) < 0.3


def test_the_matrix_agrees_with_the_points() -> None:
    points = _face(410.0, 9.0)
    matrix = similarity(points, 96)
    _, placed = align(np.zeros((300, 300, 3), np.uint8), points, 96)
    np.testing.assert_allclose(
        (points @ matrix[:, :2].T + matrix[:, 2] + 0.5) / 96, placed, atol=1e-5
    )
    assert np.linalg.det(matrix[:, :2]) > 0


def test_a_mirrored_face_is_never_reflected_onto_the_template() -> None:
    points = _face()
    points[:, 0] = 600 - points[:, 0]
    assert np.linalg.det(similarity(points, 64)[:, :2]) > 0


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    photo = np.zeros((1300, 1300, 3), np.uint8)
    photo[(np.indices((1300, 1300)).sum(axis=0) % 2) == 0] = 255
    crop, _ = align(photo, _face(1000.0, 3.0, (100.0, 100.0)), 64)
    assert abs(crop.mean() - 127.5) < 2
    assert crop[4:-4, 4:-4].std() < 3


def test_equal_size_and_place_changes_no_pixel() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    crop, _ = align(photo, _face(64.0, 0.0, (-0.5, -0.5)), 64)
    np.testing.assert_array_equal(crop, photo)


def test_beyond_the_photo_its_edge_is_repeated() -> None:
    photo = np.zeros((120, 100, 3), np.uint8)
    photo[:] = np.linspace(20, 220, 100).astype(np.uint8)[None, :, None]
    crop, placed = align(photo, _face(400.0, 0.0, (-150.0, -120.0)), 64)
    # one pixel of the crop is the mean of six of the photo, so that its edge is a little inside
    for outside, edge in ((crop[:, :20], photo[0, 0, 0]), (crop[:, -20:], photo[0, -1, 0])):
        assert len(np.unique(outside)) == 1
        assert abs(int(outside[0, 0, 0]) - int(edge)) <= 7
    assert placed.dtype == np.float32


def test_a_crop_wholly_outside_the_photo_is_its_edge() -> None:
    photo = np.full((50, 50, 3), 77, np.uint8)
    crop, _ = align(photo, _face(100.0, 0.0, (400.0, -900.0)), 32)
    assert (crop == 77).all()


@pytest.mark.parametrize(
    "points",
    [np.zeros((68, 2)), np.full((68, 2), np.nan), np.zeros((67, 2)), np.full((68, 2), 5.0)],
)
def test_impossible_landmarks_are_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="landmarks"):
        similarity(points, 64)
