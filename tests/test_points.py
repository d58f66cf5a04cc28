import numpy as np
import pytest
import torch

from expr_lib.points import (
    CLOSED_PARTS,
    IBUG68,
    LANDMARK_PARTS,
    MIRROR,
    Layout,
    eye_centres,
    eye_distance,
    flip_points,
)


def random_points(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random((*shape, 68, 2), dtype=np.float32)


def test_the_parts_cover_every_landmark_once_and_in_order() -> None:
    indices = [index for part in LANDMARK_PARTS.values() for index in part]
    assert indices == list(range(68))
    assert set(CLOSED_PARTS) < set(LANDMARK_PARTS)


def test_the_mirror_is_its_own_inverse_and_swaps_right_and_left() -> None:
    assert (MIRROR[MIRROR] == np.arange(68)).all()
    for right, left in (("right_eye", "left_eye"), ("right_brow", "left_brow")):
        assert set(MIRROR[list(LANDMARK_PARTS[right])]) == set(LANDMARK_PARTS[left])
    for part in ("jaw", "nose_bridge", "nose_base", "outer_lip", "inner_lip"):
        assert set(MIRROR[list(LANDMARK_PARTS[part])]) == set(LANDMARK_PARTS[part])


def test_the_mirror_keeps_neighbours_neighbours() -> None:
    for name, part in LANDMARK_PARTS.items():
        closed = name in CLOSED_PARTS
        pairs = {frozenset(pair) for pair in zip(part, part[1:] + part[:1] * closed, strict=False)}
        mirrored = {frozenset(int(MIRROR[i]) for i in pair) for pair in pairs}
        twin = {"right": "left", "left": "right"}.get(name.split("_")[0], "")
        other = LANDMARK_PARTS[f"{twin}_{name.split('_')[1]}"] if twin else part
        assert mirrored == {
            frozenset(p) for p in zip(other, other[1:] + other[:1] * closed, strict=False)
        }


def test_a_drawn_face_mirrors_onto_landmarks_in_the_same_places(drawn_face) -> None:
    points = (drawn_face.landmarks + 0.5) / drawn_face.image.shape[0]
    flipped = flip_points(points)
    right, left = eye_centres(flipped)
    assert right[0] < left[0]  # the right eye is still on the left of the picture
    assert np.abs(flipped - points).mean() < 0.05  # a frontal face is nearly symmetric
    np.testing.assert_allclose(flip_points(flipped), points, atol=1e-6)


def test_flipping_copies_and_keeps_the_type() -> None:
    points = random_points(5)
    before = points.copy()
    flipped = flip_points(points)
    assert flipped.dtype == np.float32
    assert (points == before).all()
    assert flipped[2, 0, 0] == pytest.approx(1 - points[2, 16, 0])
    assert flipped[2, 0, 1] == points[2, 16, 1]


def test_eyes_are_measured_between_the_means_of_their_corners() -> None:
    points = np.zeros((68, 2), np.float32)
    points[[36, 39, 42, 45]] = [[10, 5], [20, 5], [40, 45], [50, 45]]
    points[[37, 38, 40, 41]] = 1000  # lids count for nothing
    np.testing.assert_allclose(eye_centres(points), [[15, 5], [45, 45]])
    assert eye_distance(points) == pytest.approx(50)
    assert eye_distance(random_points(2, 3)).shape == (2, 3)


@pytest.mark.parametrize("function", [eye_centres, eye_distance, flip_points])
def test_torch_and_numpy_agree(function) -> None:
    points = random_points(4)
    as_tensor = function(torch.from_numpy(points.copy()))
    assert isinstance(as_tensor, torch.Tensor)
    np.testing.assert_allclose(as_tensor.numpy(), function(points), rtol=1e-6)


def test_other_numberings_have_eyes_and_mirrors_of_their_own() -> None:
    few = Layout(5, (1, 0, 3, 2, 4), ((0, 0), (1, 1)), {"mouth": (2, 3, 4)})
    points = np.array([(2, 1), (8, 1), (3, 9), (6, 8), (5, 7)]) / 10
    np.testing.assert_allclose(eye_centres(points, few), points[:2])
    assert eye_distance(points, few) == pytest.approx(0.6)
    flipped = flip_points(points, few)
    np.testing.assert_allclose(flipped[2], (0.4, 0.8))
    np.testing.assert_allclose(flip_points(flipped, few), points)


def test_the_numbering_of_a_faceset_is_ibugs() -> None:
    assert (IBUG68.count, list(IBUG68.mirror)) == (68, MIRROR.tolist())
    for name, count in (("mouth", 20), ("brows", 10), ("eyes", 12), ("jaw", 17)):
        assert len(set(IBUG68.parts[name])) == count
    (outer_right, inner_right), (inner_left, outer_left) = IBUG68.eyes
    assert (IBUG68.mirror[outer_right], IBUG68.mirror[inner_right]) == (outer_left, inner_left)


@pytest.mark.parametrize("wrong", [(1, 2, 0), (0, 1), (0, 0, 1)])
def test_a_mirror_that_is_none_is_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not its own inverse"):
        Layout(3, wrong, ((0, 0), (1, 1)), {})


def test_indices_beyond_the_last_landmark_are_refused() -> None:
    with pytest.raises(ValueError, match="beyond 3"):
        Layout(3, (0, 1, 2), ((0, 0), (1, 1)), {"jaw": (3,)})
