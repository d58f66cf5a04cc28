"""The controls: copying the target, and warping it by landmarks."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from expr_lib.config import load_settings
from expr_lib.methods.base import FaceBatch
from expr_lib.methods.controls import CopyTarget, WarpTarget, warp_photo

SIZE = 64


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """(68, 2): a made-up face of scattered points inside the crop, none too near another."""
    grid = np.stack(np.meshgrid(np.linspace(0.25, 0.75, 10), np.linspace(0.25, 0.75, 7)), -1)
    jitter = np.random.default_rng(0).uniform(-0.01, 0.01, (68, 2))
    return (grid.reshape(-1, 2)[:68] + jitter).astype(np.float32)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(1).normal(size=(SIZE, SIZE, 3)), (3, 3, 0))
    return np.clip(np.rint(smooth * 600 + 128), 0, 255).astype(np.uint8)


def _with_dot(point: np.ndarray) -> np.ndarray:
    """Black, with a soft white dot whose middle is at a point in crop widths."""
    x, y = point * SIZE - 0.5
    rows, columns = np.mgrid[:SIZE, :SIZE]
    dot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 1.5**2))
    return np.repeat(dot[..., None], 3, axis=2).astype(np.uint8)


def _middle(photo: np.ndarray) -> np.ndarray:
    """Where the white is on average, crop widths."""
    weight = photo[..., 0].astype(float)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return (np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum() + 0.5) / SIZE


def test_moving_nothing_changes_nothing(photo, points) -> None:
    warped = warp_photo(photo, points, points)
    assert warped.shape == photo.shape
    assert warped.dtype == np.uint8
    assert np.abs(warped.astype(int) - photo).max() <= 1


def test_the_photo_itself_is_left_alone(photo, points) -> None:
    before = photo.copy()
    warp_photo(photo, points, points + 0.05)
    assert (photo == before).all()


@pytest.mark.parametrize("shift", [(0.06, 0.0), (0.0, -0.05), (-0.04, 0.07)])
def test_what_lies_at_the_landmarks_moves_with_them(points, shift) -> None:
    """All points shifted: a dot among them arrives where it was sent, exactly, in direction too."""
    shift = np.array(shift, np.float32)
    for index in (24, 33, 45):
        warped = warp_photo(_with_dot(points[index]), points, points + shift)
        np.testing.assert_allclose(_middle(warped), points[index] + shift, atol=0.3 / SIZE)


def test_each_landmark_moves_on_its_own(points) -> None:
    new = points.copy()
    new[33] += [0.02, 0.015]
    there = warp_photo(_with_dot(points[33]), points, new)
    x, y = np.rint(new[33] * SIZE - 0.5).astype(int)
    assert there[y, x, 0] > 200
    far = _with_dot(points[0])
    assert np.abs(warp_photo(far, points, new).astype(int) - far).max() <= 1


def test_the_border_stays(photo, points) -> None:
    warped = warp_photo(photo, points, points * 0.9 + 0.02).astype(int)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert np.abs(warped[edge] - photo[edge]).mean() < 2


@pytest.mark.parametrize("name", ["one place", "a line", "outside", "swapped", "far away", "twins"])
def test_degenerate_landmarks_still_give_a_picture(photo, points, name) -> None:
    line = np.stack([np.linspace(0.1, 0.9, 68)] * 2, -1)
    bad = {
        "one place": np.full((68, 2), 0.5),
        "a line": line,
        "outside": points + 0.6,
        "swapped": points[::-1],
        "far away": points * 1000 - 400,
        "twins": points[np.arange(68) // 2 * 2],
    }[name].astype(np.float32)
    for old, new in ((bad, points), (points, bad), (bad, bad)):
        warped = warp_photo(photo, old, new)
        assert warped.shape == photo.shape
        assert warped.dtype == np.uint8


class _Shift:
    """Stands in for a fitted Φ: the target's points, moved."""

    def fuse(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        return target + np.float32(0.05)


def test_warp_target_warps_every_photo_to_its_fused_landmarks(points) -> None:
    dots = np.stack([_with_dot(points[index]) for index in (24, 45)])
    batch = FaceBatch(dots, np.stack([points, points]))
    out = WarpTarget(_Shift()).generate(batch, batch)  # type: ignore[arg-type]
    assert out.shape == dots.shape
    for picture, index in zip(out, (24, 45), strict=True):
        np.testing.assert_allclose(_middle(picture), points[index] + 0.05, atol=0.3 / SIZE)


def test_copy_target_gives_a_copy_of_the_target(photo, points, tmp_path) -> None:
    method = CopyTarget()
    source = FaceBatch(255 - photo[None], points[None])
    target = FaceBatch(photo[None], points[None])
    out = method.generate(source, target)
    assert (out == target.photos).all()
    assert not np.shares_memory(out, target.photos)
    method.save(tmp_path)
    loaded = CopyTarget.load(tmp_path, load_settings("smoke"))
    assert (loaded.generate(source, target) == target.photos).all()
