"""Our own method: what it starts from, what each of its parts does, how it learns and goes on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from expr_lib.config import RunSettings, change_settings, load_settings
from expr_lib.errors import BrokenCheckpoint
from expr_lib.faceset import FaceSet
from expr_lib.flow import bend
from expr_lib.methods.base import FaceBatch
from expr_lib.methods.catalogue import CATALOGUE, choose
from expr_lib.methods.fusion import SHARES, LandmarkFusion, build_fusion
from expr_lib.methods.retouch import (
    Retouch,
    RetouchLearner,
    detail_boxes,
    move_photos,
    move_points,
)
from expr_lib.methods.tensors import to_tensor
from expr_lib.metrics import psnr
from expr_lib.models.retouch import Retoucher
from expr_lib.photos import as_grey
from expr_lib.samples import TARGET
from expr_lib.splits import Split, split_photos
from expr_lib.training import train
from test_training import SMALL, StopsAt
from toy_training import Killed, assert_same_weights, show_four_people

RETOUCH = next(entry for entry in CATALOGUE if entry.name == "retouch")
STEPS = [entry for entry, _ in choose("steps")]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def faces(small_faces: Path) -> FaceSet:
    torch.set_num_threads(1)
    return FaceSet.load(small_faces)


def settings_of(*overrides: str) -> RunSettings:
    return change_settings(load_settings("smoke", SMALL), [*RETOUCH.settings, *overrides])


def fusion_of(faces: FaceSet, settings: RunSettings) -> LandmarkFusion:
    """An untrained Φ that knows the mean face."""
    network = build_fusion(settings.fusion)
    network.measure(torch.from_numpy(np.array(faces.landmarks)))
    return LandmarkFusion(network)


def make_learner(faces: FaceSet, *overrides: str) -> RetouchLearner:
    settings = settings_of(*overrides)
    return RetouchLearner(faces, split_photos(faces.table), fusion_of(faces, settings), settings)


def given(faces: FaceSet, rows: slice) -> FaceBatch:
    return FaceBatch.of(faces, np.arange(len(faces))[rows], 64)


def test_an_untrained_network_gives_the_warped_target(faces: FaceSet) -> None:
    settings = settings_of()
    method = Retouch.untrained(fusion_of(faces, settings), settings)
    target, points = given(faces, slice(0, 3)), faces.landmarks[3:6]
    found = method.explain(target, points)
    reached, own = (torch.from_numpy(np.array(p)) for p in (points, target.points))
    warped = bend(to_tensor(target.photos, CPU), method.warp.flow(reached, own))
    torch.testing.assert_close(found.picture, warped)
    torch.testing.assert_close(found.paint, warped)


def test_the_picture_is_made_of_its_parts(faces: FaceSet) -> None:
    settings = settings_of()
    method = Retouch.untrained(fusion_of(faces, settings), settings)
    target, points = given(faces, slice(0, 2)), np.array(faces.landmarks[3:5])
    found = method.explain(target, points)
    mixed = found.mask * found.paint + (1 - found.mask) * found.bent
    torch.testing.assert_close(found.picture, mixed)
    photos = to_tensor(target.photos, CPU)
    torch.testing.assert_close(found.bent, bend(photos, found.flow))
    assert found.mask.min() == 0 and found.mask.max() < 1  # 0 outside the window
    painted = method.generate(target, target, points=points)
    wanted = ((found.picture.clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(painted - wanted).max() <= 1


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ("retouch.warp=false", lambda found, flow: (found.flow - flow).abs().max() > 0.01),
        ("retouch.reach=0", lambda found, flow: torch.equal(found.flow, flow)),
        ("retouch.window=false", lambda found, flow: found.mask[..., 0, 0].min() > 0),
    ],
)
def test_each_part_can_be_taken_back(change: str, gone, faces: FaceSet) -> None:
    target, points = given(faces, slice(0, 2)), np.array(faces.landmarks[3:5])
    reached, own = (torch.from_numpy(np.array(p)) for p in (points, target.points))
    for options, wanted in (((change,), True), ((), False)):
        learner = make_learner(faces, "retouch.ema=0", *options)
        for step in range(2):
            learner.step(step)
        method = learner.painter()
        flow = Retouch.untrained(fusion_of(faces, settings_of()), settings_of()).warp.flow(
            reached, own
        )
        assert bool(gone(method.explain(target, points), flow)) == wanted


def test_without_a_mask_all_in_the_window_is_paint(faces: FaceSet) -> None:
    learner = make_learner(faces, "retouch.mask=false", "retouch.window=false", "retouch.ema=0")
    for step in range(2):
        learner.step(step)
    method = learner.painter()
    assert isinstance(method, Retouch)
    found = method.explain(given(faces, slice(0, 2)), np.array(faces.landmarks[3:5]))
    torch.testing.assert_close(found.picture, found.paint)
    assert (found.paint != found.bent).any()


def test_outside_the_window_nothing_but_the_warp_changes_a_pixel(faces: FaceSet) -> None:
    learner = make_learner(faces, "retouch.ema=0")
    for step in range(4):
        learner.step(step)
    method = learner.painter()
    assert isinstance(method, Retouch)
    target, points = given(faces, slice(0, 3)), np.array(faces.landmarks[3:6])
    reached, own = (torch.from_numpy(np.array(p)) for p in (points, target.points))
    warped = bend(to_tensor(target.photos, CPU), method.warp.flow(reached, own))
    window = method.warp.window(reached, own).expand(-1, 3, -1, -1)
    picture = method.explain(target, points).picture
    assert torch.equal(picture[window == 0], warped[window == 0])
    assert (picture[window == 1] != warped[window == 1]).any()
    for marks in (reached, own):  # all landmarks of both faces lie inside
        places = (marks * 64).long().clamp(0, 63)
        for face in range(3):
            assert window[face, 0, places[face, :, 1], places[face, :, 0]].min() > 0.5


def shaken(faces: FaceSet, *overrides: str) -> Retouch:
    """A method whose network changes something."""
    learner = make_learner(faces, "retouch.ema=0", *overrides)
    for step in range(4):
        learner.step(step)
    method = learner.painter()
    assert isinstance(method, Retouch)
    torch.nn.init.normal_(method.network.heads.weight, std=0.1)
    return method


def test_a_strength_scales_the_mask_and_the_second_flow(faces: FaceSet) -> None:
    method = shaken(faces)
    target, points = given(faces, slice(0, 2)), np.array(faces.landmarks[3:5])
    reached, own = (torch.from_numpy(np.array(p)) for p in (points, target.points))
    flow = method.warp.flow(reached, own)
    whole = method.explain(target, points)
    strength = method.network.strength
    assert strength == 1
    strength.fill_(0.3)
    less = method.explain(target, points)
    torch.testing.assert_close(less.mask, 0.3 * whole.mask)
    torch.testing.assert_close(less.flow - flow, 0.3 * (whole.flow - flow))
    torch.testing.assert_close(less.paint - less.bent, whole.paint - whole.bent)
    strength.fill_(0)
    nothing = method.explain(target, points).picture
    torch.testing.assert_close(nothing, bend(to_tensor(target.photos, CPU), flow))


def test_nearness_is_the_psnr_of_what_each_strength_generates(faces: FaceSet) -> None:
    method = shaken(faces)
    source, target, truth = (given(faces, slice(i, i + 11)) for i in (0, 3, 6))
    near = method.nearness(source, target, truth)
    assert near.shape == (11, 11)
    assert np.ptp(near, axis=0).max() > 0.2  # a strength that is ignored would be seen
    in_grey = method.nearness(source, target, truth, grey=True)
    np.testing.assert_allclose(
        in_grey[10], psnr(as_grey(method.generate(source, target)), truth.photos), atol=1e-3
    )
    for i in (0, 7, 10):
        method.network.strength.fill_(SHARES[i])
        np.testing.assert_allclose(
            near[i], psnr(method.generate(source, target), truth.photos), atol=1e-3
        )


def fitted(faces: FaceSet, folder: Path, *overrides: str) -> Retouch:
    settings = settings_of("transfer.images=160", "retouch.ema=0", *overrides)
    method = Retouch.untrained(fusion_of(faces, settings), settings)
    method.fit(faces, split_photos(faces.table), settings, folder)
    method.save(folder)
    return method


def test_validation_people_choose_the_strength(
    faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they can choose, the model in use and the one that is saved have what they chose; a
    training that starts from it begins at 1."""
    split = split_photos(faces.table)
    assert not split.can_choose  # two validation people choose nothing
    asked: list[set[str]] = []
    measure = Retouch.nearness

    def watched(
        method: Retouch, source: FaceBatch, target: FaceBatch, truth: FaceBatch, grey: bool
    ):
        near = measure(method, source, target, truth, grey)
        rows = [np.flatnonzero((faces.images == photo).all((1, 2, 3)))[0] for photo in truth.photos]
        asked.append(set(faces.table["person"].iloc[rows]))
        near[7] = near.max() + 1
        return near

    monkeypatch.setattr(Retouch, "nearness", watched)
    assert fitted(faces, tmp_path / "few").network.strength == 1
    monkeypatch.setattr(Split, "can_choose", True)
    whole = fitted(faces, tmp_path / "whole", "retouch.choose_strength=no")
    assert whole.network.strength == 1
    assert asked == []
    method = fitted(faces, tmp_path / "chosen")
    assert asked == [set(split.people("validation"))]
    assert method.network.strength == pytest.approx(0.7)
    again = Retouch.load(tmp_path / "chosen", method.settings)
    assert again.network.strength == pytest.approx(0.7)
    method.save(tmp_path / "half", half=True)
    again = Retouch.load(tmp_path / "half", method.settings)
    assert again.network.strength == pytest.approx(0.7)
    learner = make_learner(faces)
    learner.start_from(tmp_path / "chosen" / "model.safetensors")
    assert learner.generator.strength == learner.average.strength == 1


def test_a_model_without_a_strength_is_refused(faces: FaceSet, tmp_path: Path) -> None:
    method = fitted(faces, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["generator/strength"]
    save_file(tensors, tmp_path / "model.safetensors", {"size": "64"})
    with pytest.raises(BrokenCheckpoint, match=r"strength is absent there and \(\) here"):
        Retouch.load(tmp_path, method.settings)


def test_every_step_back_is_one_change() -> None:
    for entry in STEPS:
        assert entry.settings[: len(RETOUCH.settings)] == RETOUCH.settings
        assert len(entry.settings) == len(RETOUCH.settings) + 1, entry.name
        base, changed = (
            change_settings(load_settings("laptop"), each.settings) for each in (RETOUCH, entry)
        )
        assert base != changed, entry.name


def test_boxes_hold_mouth_and_eyes_and_little_else(faces: FaceSet) -> None:
    points = torch.from_numpy(np.array(faces.landmarks[:4]))
    boxes = detail_boxes(points, 64)
    assert boxes.shape == (4, 1, 64, 64)
    pixels = (points * 64).long()
    for face in range(4):
        for landmark in range(36, 68):
            x, y = pixels[face, landmark].tolist()
            assert boxes[face, 0, y, x] == 1
        chin = pixels[face, 8].tolist()
        assert boxes[face, 0, min(chin[1], 63), chin[0]] == 0
    assert 0.05 < boxes.mean() < 0.35


def test_a_face_is_painted_alike_in_any_company(faces: FaceSet) -> None:
    learner = make_learner(faces)
    for step in range(4):
        learner.step(step)
    method = learner.painter()
    source, target = given(faces, slice(0, 3)), given(faces, slice(9, 12))
    together = method.generate(source, target)
    alone = method.generate(source[1:2], target[1:2])[0]
    assert (together[1] == alone).all()


def test_it_overfits_four_people(faces: FaceSet) -> None:
    still = ("transfer.flips=no", "retouch.jitter=0", "retouch.window=false", "retouch.reach=0.1")
    learner = make_learner(faces, "transfer.filters=16", "transfer.images=4000", *still)
    show_four_people(learner)
    first = learner.step(0)
    for step in range(1, 300):
        last = learner.step(step)
    for name in ("l1", "details", "ssim"):  # the first picture is a warp and near already
        assert last[name] < 0.6 * first[name], name


def test_the_average_follows_the_weights_slowly(faces: FaceSet) -> None:
    learner = make_learner(faces)
    start = {k: v.clone() for k, v in learner.average.named_parameters()}
    learner.step(0)
    for name, new in learner.generator.named_parameters():
        wanted = start[name].lerp(new, 1 - 1 / 10)  # the first step forgets nine tenths
        torch.testing.assert_close(dict(learner.average.named_parameters())[name], wanted)
    last = make_learner(faces, "retouch.ema=0")
    last.step(0)
    assert_same_weights(last.average, last.generator)
    assert learner.painter().networks["generator"] is learner.average


def test_it_resumes_exactly(faces: FaceSet, tmp_path: Path) -> None:
    options = {"key": "k", "seed": 0, "title": "retouch", "checkpoint_seconds": 0.0}
    more = ("transfer.images=48", "retouch.weight_identity=1")
    whole = make_learner(faces, *more)
    train(whole, steps=whole.steps, folder=tmp_path / "whole", **options)
    stopped = StopsAt(make_learner(faces, *more), whole.steps * 2 // 3)
    with pytest.raises(Killed):
        train(stopped, steps=whole.steps, folder=tmp_path / "killed", **options)
    resumed = make_learner(faces, *more)
    train(resumed, steps=whole.steps, folder=tmp_path / "killed", **options)
    for part, module in whole.modules.items():
        assert_same_weights(module, resumed.modules[part])


def test_the_loss_for_who_it_is_has_a_recogniser(faces: FaceSet) -> None:
    learner = make_learner(faces, "retouch.weight_identity=1")
    losses = learner.step(0)
    assert {"identity", "recogniser"} <= set(losses)
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert "recogniser" not in make_learner(faces).modules


def test_its_discriminator_may_see_the_landmarks(faces: FaceSet) -> None:
    losses = make_learner(faces, "transfer.discriminator_sees_landmarks=true").step(0)
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_the_network_takes_any_multiple_of_32() -> None:
    network = Retoucher(filters=16).eval()
    for size in (32, 96):
        target, drawn = torch.zeros(1, 3, size, size), torch.zeros(1, 2, size, size)
        window = torch.ones(1, 1, size, size)
        found = network(target, torch.zeros(1, 2, size, size), drawn, window)
        assert found.picture.shape == (1, 3, size, size)


def test_first_weights_have_the_size_that_he_et_al_give() -> None:
    torch.manual_seed(0)
    spreads = {}
    for initial in ("he", "small"):
        network = Retoucher(filters=32, initial=initial)
        inner = [m for n, m in network.named_modules() if isinstance(m, torch.nn.Conv2d)][:-1]
        assert all((m.bias == 0).all() for m in inner)
        spreads[initial] = [
            float(m.weight.detach().std() * np.sqrt(m.weight[0].numel() / 2)) for m in inner
        ]
        assert (network.heads.weight == 0).all()  # what is untrained gives the warp
    np.testing.assert_allclose(spreads["he"], 1, atol=0.05)
    assert min(spreads["small"]) < 0.3


def test_a_split_and_faces_are_all_that_it_needs(faces: FaceSet, tmp_path: Path) -> None:
    settings = settings_of("transfer.images=16")
    method = Retouch.untrained(fusion_of(faces, settings), settings)
    split: Split = split_photos(faces.table)
    method.fit(faces, split, settings, tmp_path / "fit")
    method.save(tmp_path)
    again = Retouch.load(tmp_path, settings)
    source, target = given(faces, slice(0, 3)), given(faces, slice(9, 12))
    assert (method.generate(source, target) == again.generate(source, target)).all()


def test_photos_and_points_are_moved_alike() -> None:
    photo = torch.zeros(2, 1, 64, 64)
    photo[..., 16, 32] = 1.0  # a quarter above the middle
    dot = torch.tensor([[[32.5, 16.5]]]).expand(2, -1, -1) / 64
    quarter = torch.pi / 4  # of which twice is taken
    moves = torch.tensor([[4 / 64, -2 / 64, 0, 0], [0, 0, quarter, 0]])
    seen = [divmod(int(picture.argmax()), 64) for picture in move_photos(photo, moves)]
    assert seen == [(14, 36), (32, 47)]  # right and up; clockwise
    there = move_points(dot, moves)[:, 0] * 64 - 0.5
    assert [(round(y), round(x)) for x, y in there.tolist()] == seen
    torch.testing.assert_close(move_points(move_points(dot, moves), moves, inverse=True), dot)
    larger = move_points(dot, torch.tensor([[0, 0, 0, 0.1]] * 2))
    torch.testing.assert_close(larger - 0.5, (dot - 0.5) * torch.tensor(0.2).exp())


def test_jitter_moves_target_truth_and_landmarks_as_one(faces: FaceSet) -> None:
    plain, moved = (make_learner(faces, f"retouch.jitter={j}") for j in (0, 0.05))
    assert (moved._draw(3)[0] == moved._draw(3)[0]).all()  # a pure function of the step
    assert (moved._draw(3)[0] != moved._draw(4)[0]).any()
    still, shaken = plain._draw(3), moved._draw(3)
    for i in range(2):  # target and truth
        torch.testing.assert_close(shaken[i], move_photos(still[i], moved.moves), atol=1e-4, rtol=0)
    assert (shaken[2] != still[2]).any() and (shaken[4] != still[4]).any()


@pytest.mark.parametrize("landmarks", ["true", "fused"])
def test_landmarks_are_fused_as_faces_are_aligned_and_then_moved(
    landmarks: str, faces: FaceSet
) -> None:
    plain, moved = (
        make_learner(faces, f"retouch.jitter={j}", f"transfer.landmarks={landmarks}")
        for j in (0, 0.05)
    )
    triples = moved.samples.draw(3, moved.batch)
    mirrored = torch.zeros(moved.batch, dtype=torch.bool)
    moved._draw(3)
    reached, own = plain.reach(triples, mirrored), plain.marks(triples[:, TARGET], mirrored)
    wanted = moved.warp.flow(*(move_points(points, moved.moves) for points in (reached, own)))
    torch.testing.assert_close(moved.example(triples, mirrored)[3], wanted)
