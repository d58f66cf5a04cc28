"""Ridge regression in the place of Φ, and beside it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from expr_lib.config import load_settings
from expr_lib.faceset import FaceSet
from expr_lib.methods.fusion import LandmarkFusion, build_fusion, choose_share
from expr_lib.methods.paper import PaperModel, TransferLearner
from expr_lib.methods.ridge import ALPHAS, choose_penalty, fit_ridge
from expr_lib.metrics import landmark_error
from expr_lib.models.fusion import BlendedFusion, Fusion, LinearFusion
from expr_lib.splits import split_photos
from toy_points import toy_faces

RIDGE = load_settings("smoke", ["fusion.model=ridge"])
BLEND = load_settings("smoke", ["fusion.model=blend", "fusion.images=128"])


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
    assert isinstance(build_fusion(BLEND.fusion, 106), BlendedFusion)
    assert isinstance(build_fusion(load_settings("paper").fusion), Fusion)


def test_a_blend_lies_between_the_two() -> None:
    torch.manual_seed(0)
    network, linear = Fusion(hidden=8, latent=4), LinearFusion()
    for part in (network.decoder[-1].weight, linear.weight):
        torch.nn.init.normal_(part)
    blended = BlendedFusion(network, linear).eval()
    source, target = torch.rand(2, 3, 68, 2)
    one, other = network.fuse(source, target), linear.fuse(source, target)
    assert (one - other).abs().max() > 0.01
    for share in (0.0, 0.25, 1.0):
        blended.share.fill_(share)
        expected = (1 - share) * one + share * other
        torch.testing.assert_close(blended.fuse(source, target), expected)


@pytest.mark.parametrize(("people", "expected"), [(40, 1.0), (12, 0.5)])
def test_validation_people_choose_the_share(people: int, expected: float) -> None:
    """Ridge is right about the toy faces and an untrained Φ is not; one person chooses nothing."""
    faces = toy_faces(people)
    split = split_photos(faces.table)
    assert split.can_choose == (people == 40)
    network = Fusion(faces.layout.count, hidden=8, latent=4)
    blended = BlendedFusion(network, fit_ridge(faces, split, RIDGE))
    choose_share(blended, faces, split, seed=0)
    assert blended.share.item() == expected


def test_a_share_may_lie_inside() -> None:
    """Two answers that are wrong by as much in opposite directions are right in their middle."""
    faces = toy_faces(40)
    split = split_photos(faces.table)
    exact = fit_ridge(faces, split, RIDGE)
    network, linear = Fusion(faces.layout.count, hidden=8, latent=4), LinearFusion(8)
    linear.load_state_dict(exact.state_dict())
    linear.weight *= 2  # an untrained Φ does not move, this one moves twice as far
    linear.bias *= 2
    blended = BlendedFusion(network, linear)
    choose_share(blended, faces, split, seed=0)
    assert blended.share.item() == 0.5


def test_in_a_blend_the_network_learns_as_it_does_alone(small_faces: Path, tmp_path: Path) -> None:
    faces = FaceSet.load(small_faces)
    split = split_photos(faces.table)
    fitted = {}
    for model in ("network", "ridge", "blend"):
        settings = load_settings("smoke", [f"fusion.model={model}", "fusion.images=128"])
        fitted[model] = LandmarkFusion.fit(faces, split, settings, tmp_path / model, "k")
    points, other = faces.landmarks, np.roll(faces.landmarks, 1, axis=0)
    alone = fitted["blend"].alone
    assert alone and fitted["network"].alone is None and fitted["ridge"].alone is None
    one, linear = (fitted[model].fuse(points, other) for model in ("network", "ridge"))
    assert (alone.fuse(points, other) == one).all()
    half = fitted["blend"].fuse(points, other)  # too few people to choose
    np.testing.assert_allclose(half, (one + linear) / 2, atol=1e-6)
    fitted["blend"].save(tmp_path)
    again = LandmarkFusion.load(tmp_path, BLEND)
    assert (again.fuse(points, other) == half).all()
