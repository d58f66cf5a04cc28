"""Ridge regression in the place of Φ."""

from pathlib import Path

import numpy as np
import pytest
import torch

from expr_lib.config import load_settings
from expr_lib.faceset import FaceSet
from expr_lib.methods.fusion import LandmarkFusion, build_fusion
from expr_lib.methods.paper import PaperModel, TransferLearner
from expr_lib.methods.ridge import ALPHAS, choose_penalty, fit_ridge
from expr_lib.metrics import landmark_error
from expr_lib.models.fusion import LinearFusion
from expr_lib.splits import split_photos
from toy_points import toy_faces

RIDGE = load_settings("smoke", ["fusion.model=ridge"])


def test_ridge_recovers_a_linear_map() -> None:
    """In the toy faces the deviation is exactly the source's mouth minus the target's."""
    faces = toy_faces()
    split = split_photos(faces.table)
    triples = split.pairs("test", 10_000, 0)
    source, target, truth = (faces.landmarks[triples[:, column]] for column in range(3))
    fused = LandmarkFusion(fit_ridge(faces, split, RIDGE)).fuse(source, target)
    assert landmark_error(target, truth, faces.layout).mean() > 2
    assert landmark_error(fused, truth, faces.layout).max() < 0.1


def pairs_of_people() -> tuple[np.ndarray, np.ndarray]:
    pairs = [(a, b) for a in range(12) for b in range(12) if a != b]
    names = np.array([f"p{n:02d}" for n in range(12)])
    return names[[a for a, _ in pairs]], names[[b for _, b in pairs]]


def test_the_penalty_is_chosen_on_people_who_are_held_out() -> None:
    """What is each person's own is learnt by heart with a small penalty, and helps nobody else."""
    rng = np.random.default_rng(0)
    sources, targets = pairs_of_people()
    own = {name: rng.normal(size=5) for name in np.unique(sources)}
    x = np.stack([np.concatenate([own[a], own[b]]) for a, b in zip(sources, targets, strict=True)])
    by_chance = {name: rng.normal(size=4) for name in own}
    y = np.stack([by_chance[b] for b in targets])
    given = torch.from_numpy(x)
    assert choose_penalty(given, torch.from_numpy(y), sources, targets) >= 1e4
    y = x[:, :4] - x[:, 5:9]
    assert choose_penalty(given, torch.from_numpy(y), sources, targets) == ALPHAS[0]


@pytest.mark.parametrize("people", [1, 2])
def test_too_few_people_to_hold_out_take_the_middle_penalty(people: int) -> None:
    sources = np.array(["a", "b"] * 4)
    targets = np.array((["b", "a"] if people == 2 else ["b", "b"]) * 4)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 4)))
    assert choose_penalty(x, x[:, :2], sources, targets) == ALPHAS[len(ALPHAS) // 2]


def test_ridge_is_fitted_saved_and_loaded_as_a_trained_network_is(
    small_faces: Path, tmp_path: Path
) -> None:
    faces = FaceSet.load(small_faces)
    fusion = LandmarkFusion.fit(faces, split_photos(faces.table), RIDGE, tmp_path, "k")
    assert list(tmp_path.iterdir()) == []  # there is no training to tell of
    fusion.save(tmp_path)
    again = LandmarkFusion.load(tmp_path, RIDGE)
    assert isinstance(again.network, LinearFusion)
    assert list(again.network.parameters()) == []
    points = faces.landmarks
    other = np.roll(points, 1, axis=0)
    assert (fusion.fuse(points, other) == again.fuse(points, other)).all()


def test_ridge_feeds_stage_2(small_faces: Path, tmp_path: Path) -> None:
    small = ["fusion.model=ridge", "transfer.filters=4", "transfer.discriminator_filters=4"]
    settings = load_settings("smoke", [*small, "transfer.images=8", "transfer.curve_pairs=2"])
    faces = FaceSet.load(small_faces)
    split = split_photos(faces.table)
    fusion = LandmarkFusion(fit_ridge(faces, split, settings))
    losses = TransferLearner(faces, split, fusion, settings).step(0)
    assert all(torch.isfinite(loss) for loss in losses.values())
    PaperModel.untrained(fusion, settings).save(tmp_path)
    loaded = PaperModel.load(tmp_path, settings)
    assert torch.equal(loaded.fusion.network.weight, fusion.network.weight)


def test_settings_say_which_model_stage_1_is() -> None:
    assert isinstance(build_fusion(RIDGE.fusion, 106), LinearFusion)
    assert build_fusion(RIDGE.fusion, 106).mean.shape == (106, 2)
    assert not isinstance(build_fusion(load_settings("smoke").fusion), LinearFusion)
