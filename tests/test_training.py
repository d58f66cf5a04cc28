"""A run that was stopped anywhere ends like one that was not; a checkpoint is whole or refused."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from expr_lib import files
from expr_lib.checkpoints import BEST, put_weights, read_tensors
from expr_lib.config import load_settings
from expr_lib.errors import BrokenCheckpoint, OutputExists, OutputFailed
from expr_lib.faceset import FaceSet
from expr_lib.methods.base import FaceBatch
from expr_lib.methods.fusion import FusionLearner, LandmarkFusion, build_fusion
from expr_lib.methods.paper import PaperModel, TransferLearner
from expr_lib.methods.tensors import PhotoStore
from expr_lib.metrics import psnr
from expr_lib.splits import Split, split_photos
from expr_lib.training import (
    OutOfMemory,
    TrainingCollapsed,
    TrainingDiverged,
    rate_factor,
    train,
)
from toy_training import (
    STEPS,
    Killed,
    ToyLearner,
    assert_same_weights,
    newest,
    run_toy,
    without_times,
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[ToyLearner, Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return run_toy(folder), folder


@pytest.mark.parametrize("stop_at", [0, 1, 17, STEPS - 1])
def test_a_killed_run_ends_like_an_undisturbed_one(
    stop_at: int, undisturbed: tuple[ToyLearner, Path], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        run_toy(tmp_path, stop_at=stop_at)
    again = run_toy(tmp_path)
    assert_same_weights(again.net, undisturbed[0].net)
    for name in ("metrics.csv", "curve.csv"):
        pd.testing.assert_frame_equal(
            without_times(tmp_path / name), without_times(undisturbed[1] / name)
        )


def test_the_csv_files_cover_the_run(undisturbed: tuple[ToyLearner, Path]) -> None:
    losses = pd.read_csv(undisturbed[1] / "metrics.csv")
    curve = pd.read_csv(undisturbed[1] / "curve.csv")
    assert losses["step"].iloc[-1] == STEPS
    assert losses["images"].iloc[-1] == STEPS * ToyLearner.batch
    assert list(curve["step"]) == [10, 20, 30, 40]
    assert list(curve["epochs"]) == [2, 4, 6, 8]  # 4 examples a step, 20 an epoch
    assert list(curve["kept"]) == [False, True, False, False]
    assert losses["seconds"].is_monotonic_increasing


def test_the_best_networks_are_kept(
    undisturbed: tuple[ToyLearner, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve = pd.read_csv(undisturbed[1] / "curve.csv").set_index("step")
    kept = undisturbed[0].probe()["weight"]
    assert kept == pytest.approx(curve["weight"][20]) != pytest.approx(curve["weight"][40])
    monkeypatch.setattr(ToyLearner, "worth", lambda _, row: 1.0)  # of equals the last
    last = run_toy(tmp_path)
    assert last.probe()["weight"] == pytest.approx(curve["weight"][40])


def test_a_lost_file_of_the_best_networks_is_told(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run_toy(tmp_path, stop_at=25)
    (tmp_path / BEST).unlink()
    with pytest.raises(BrokenCheckpoint, match=r"best\.safetensors"):
        run_toy(tmp_path)


def test_another_seed_trains_otherwise(
    undisturbed: tuple[ToyLearner, Path], tmp_path: Path
) -> None:
    other = ToyLearner()
    train(other, steps=STEPS, folder=tmp_path, key="k", seed=4, title="toy")
    assert not torch.equal(other.net[0].weight, undisturbed[0].net[0].weight)


def test_a_full_disk_keeps_the_last_checkpoint(
    undisturbed: tuple[ToyLearner, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        run_toy(tmp_path, stop_at=20)
    before = newest(tmp_path).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(OutputFailed, match=r"No space left.*untouched"):
            run_toy(tmp_path)
    assert newest(tmp_path).read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".partial")] == []
    assert_same_weights(run_toy(tmp_path).net, undisturbed[0].net)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run_toy(tmp_path, stop_at=5)
    with pytest.raises(OutputExists, match="other settings"):
        run_toy(tmp_path, key="other")


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run_toy(tmp_path, stop_at=5)
    tensors, _ = read_tensors(newest(tmp_path))
    wide = nn.Linear(4, 4)
    with pytest.raises(BrokenCheckpoint, match="another network"):
        put_weights(wide, tensors, newest(tmp_path))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match=r"loss is nan at step 8"):
        run_toy(tmp_path, bad_at=7)
    _, metadata = read_tensors(newest(tmp_path))
    assert json.loads(metadata["state"])["step"] == 7


def test_a_spoilt_weight_never_gets_into_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match=r"weights of the net are not finite at step 8"):
        run_toy(tmp_path, spoilt_at=7)
    tensors, metadata = read_tensors(newest(tmp_path))
    assert json.loads(metadata["state"])["step"] == 7
    assert all(torch.isfinite(value).all() for value in tensors.values())


def test_rate_schedules() -> None:
    assert [rate_factor(s, 10, "constant") for s in (0, 9)] == [1, 1]
    assert [rate_factor(s, 10, "linear") for s in (0, 5, 10)] == [1, 1, 0]
    assert rate_factor(5, 10, "cosine") == pytest.approx(0.5)


SMALL = (
    "threads=1",
    "fusion.images=768",
    "fusion.batch=32",
    "transfer.images=32",
    "transfer.filters=4",
    "transfer.discriminator_filters=4",
    "transfer.curve_pairs=2",
    "transfer.precision=float32",
)


@pytest.fixture(scope="module")
def faces(small_faces: Path) -> FaceSet:
    torch.set_num_threads(1)
    return FaceSet.load(small_faces)


class StopsAt:
    """A learner that is killed at a step."""

    def __init__(self, learner: FusionLearner | TransferLearner, stop_at: int) -> None:
        self._learner, self._stop_at = learner, stop_at

    def __getattr__(self, name: str) -> object:
        return getattr(self._learner, name)

    def step(self, step: int) -> dict[str, Tensor]:
        if step == self._stop_at:
            raise Killed
        return self._learner.step(step)


def make_learner(stage: str, faces: FaceSet, *overrides: str) -> FusionLearner | TransferLearner:
    settings = load_settings("smoke", [*SMALL, *overrides])
    split = split_photos(faces.table)
    if stage == "fusion":
        return FusionLearner(faces, split, settings)
    torch.manual_seed(0)
    return TransferLearner(faces, split, LandmarkFusion(build_fusion(settings.fusion)), settings)


@pytest.mark.parametrize("stage", ["fusion", "transfer"])
def test_each_stage_resumes_exactly(stage: str, faces: FaceSet, tmp_path: Path) -> None:
    whole = make_learner(stage, faces)
    options = {"key": "k", "seed": 0, "title": stage, "checkpoint_seconds": 0.0}
    train(whole, steps=whole.steps, folder=tmp_path / "whole", **options)
    stopped = StopsAt(make_learner(stage, faces), whole.steps * 2 // 3)
    with pytest.raises(Killed):
        train(stopped, steps=whole.steps, folder=tmp_path / "killed", **options)
    resumed = make_learner(stage, faces)
    train(resumed, steps=whole.steps, folder=tmp_path / "killed", **options)
    for name, module in whole.modules.items():
        assert_same_weights(module, resumed.modules[name])


@pytest.mark.parametrize("enough", [True, False])
def test_validation_people_choose_when_they_are_enough(
    faces: FaceSet, enough: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Split, "can_choose", enough)
    for stage, chosen, better in (
        ("fusion", "validation_error", -1),
        ("transfer", "validation_ssim", 1),
    ):
        early = {"step": 1.0, chosen: 0.5 + 0.1 * better, "test_error": 9.0, "test_ssim": 0.0}
        late = {"step": 2.0, chosen: 0.5, "test_error": 0.0, "test_ssim": 1.0}
        learner = make_learner(stage, faces, f"{stage}.keep=best")
        assert (learner.worth(early) > learner.worth(late)) == enough
        last = make_learner(stage, faces, f"{stage}.keep=last")
        assert last.worth(late) > last.worth(early)


def test_looking_at_the_progress_does_not_stop_it(faces: FaceSet) -> None:
    learner = make_learner("fusion", faces, "fusion.ema=0")
    learner.step(0)
    learner.probe()
    losses = learner.step(1)
    assert losses["l1"].requires_grad


@pytest.mark.parametrize("cycle", ["source", "neutral", "third_person"])
def test_fusion_learns_more_than_copying(cycle: str, faces: FaceSet, tmp_path: Path) -> None:
    learner = make_learner("fusion", faces, f"fusion.cycle={cycle}", "fusion.images=9600")
    train(learner, steps=learner.steps, folder=tmp_path, key="k", seed=0, title="fusion")
    found = learner.probe()
    assert found["test_error"] < 0.9 * found["test_error_copy"]


@pytest.mark.parametrize(
    "override",
    [
        "transfer.landmarks=true",
        "transfer.landmark_style=dots",
        "transfer.bottleneck=stride1",
        "transfer.first_block=printed",
        "transfer.upsampling=resize",
        "transfer.discriminator_activation=leaky",
        "transfer.discriminator_sees_landmarks=true",
        "transfer.adversarial_loss=sigmoid",
        "transfer.generator_loss=saturating",
        "transfer.weight_adversarial=0",
        "transfer.flips=false",
        "transfer.precision=bfloat16",
        "transfer.schedule=linear",
    ],
)
def test_each_open_choice_of_stage_2_trains(override: str, faces: FaceSet) -> None:
    learner = make_learner("transfer", faces, override)
    before = {name: p.detach().clone() for name, p in learner.generator.named_parameters()}
    losses = learner.step(0)
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert ("discriminator" in losses) == (override != "transfer.weight_adversarial=0")
    changed = [n for n, p in learner.generator.named_parameters() if not torch.equal(p, before[n])]
    assert len(changed) == len(before)


@pytest.mark.parametrize(
    "override",
    [
        "fusion.units=pixels",
        "fusion.discriminator_sees_target=true",
        "fusion.mixup=false",
        "fusion.ema=0",
    ],
)
def test_each_open_choice_of_stage_1_trains(override: str, faces: FaceSet) -> None:
    learner = make_learner("fusion", faces, override)
    losses = [learner.step(step) for step in range(3)]
    assert all(torch.isfinite(value) for row in losses for value in row.values())
    source = learner.points[:2].numpy()
    assert LandmarkFusion(learner.trained).fuse(source, source).shape == (2, 68, 2)


def test_a_saved_model_paints_the_same(faces: FaceSet, tmp_path: Path) -> None:
    learner = make_learner("transfer", faces)
    learner.step(0)
    model = PaperModel(LandmarkFusion(learner.fusion), learner.generator, learner.run)
    model.save(tmp_path)
    again = PaperModel.load(tmp_path, learner.run)
    rows = torch.arange(3).numpy()
    batch = FaceBatch.of(faces, rows, 64)
    assert (model.generate(batch, batch) == again.generate(batch, batch)).all()
    other = load_settings("smoke", [*SMALL, "size=32"])
    with pytest.raises(BrokenCheckpoint, match="made for photos of 64 pixels"):
        PaperModel.load(tmp_path, other)


def test_a_lower_precision_paints_what_nobody_tells_apart(faces: FaceSet) -> None:
    learner = make_learner("transfer", faces, "transfer.filters=16")
    for step in range(100):
        learner.step(step)
    batch = FaceBatch.of(faces, torch.arange(9).numpy(), 64)
    painted = {}
    for precision in ("float32", "bfloat16"):
        transfer = learner.run.transfer.model_copy(update={"precision": precision})
        settings = learner.run.model_copy(update={"transfer": transfer})
        model = PaperModel(LandmarkFusion(learner.fusion), learner.generator, settings)
        painted[precision] = model.generate(batch, batch)
    exact, near = painted.values()
    assert exact.std(0).mean() > 5  # the photos differ, so there is something to paint
    assert (exact != near).any()
    assert psnr(near, exact).min() > 45


def trained_badly(faces: FaceSet, folder: Path, *overrides: str) -> TransferLearner:
    learner = make_learner("transfer", faces, "transfer.curve_pairs=8", *overrides)
    about = {"key": "k", "seed": 0, "title": "transfer"}
    train(learner, steps=learner.steps, folder=folder, **about)
    return learner


def test_a_generator_that_gives_one_picture_is_stopped(faces: FaceSet, tmp_path: Path) -> None:
    """Only the discriminator teaches it, in steps that are far too long."""
    with pytest.raises(TrainingCollapsed, match=r"one picture for all faces .*learning_rate = 1"):
        trained_badly(
            faces,
            tmp_path,
            "transfer.images=2400",
            "transfer.weight_l1=0",
            "transfer.learning_rate=1",
        )
    assert (tmp_path / "metrics.csv").is_file()


def test_a_discriminator_that_wins_everything_is_named(
    faces: FaceSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The generator does not learn, so that its pictures are told at a glance."""
    trained_badly(
        faces,
        tmp_path,
        "transfer.images=800",
        "transfer.learning_rate=1e-9",
        "transfer.discriminator_rate=2e-3",
        "transfer.discriminator_filters=16",
    )
    said = capsys.readouterr().out
    assert "note: transfer, step " in said
    assert "the discriminator wins everything" in said
    assert "lower transfer.discriminator_rate = 0.002" in said


def test_ordinary_training_is_not_called_odd(
    faces: FaceSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learner = trained_badly(faces, tmp_path, "transfer.images=1600", "transfer.filters=8")
    assert "note" not in capsys.readouterr().out
    assert learner.seen > 1000


def test_want_of_memory_names_the_settings(faces: FaceSet, tmp_path: Path) -> None:
    settings = load_settings("smoke", [*SMALL, "fusion.hidden=2000000"])
    with pytest.raises(OutOfMemory, match=r"lower fusion\.batch = 32 or fusion\.hidden"):
        LandmarkFusion.fit(faces, split_photos(faces.table), settings, tmp_path, "k")


def test_photos_that_do_not_fit_are_read_as_they_are_needed(faces: FaceSet) -> None:
    rows = np.array([3, 5, 7, 11])
    on_device = PhotoStore(faces, rows, 32, torch.device("cpu"))
    on_disk = PhotoStore(faces, rows, 32, torch.device("cpu"), limit=0)
    assert on_device.resident is not None and on_disk.resident is None
    wanted = np.array([7, 3, 3])
    assert torch.equal(on_device.take(wanted), on_disk.take(wanted))
    assert (on_disk.take(wanted).numpy() == faces.photos_at(wanted, 32)).all()
