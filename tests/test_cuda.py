"""What only a GPU does gives what the plain calls give. Skipped aloud where there is none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from expr_lib.config import load_settings
from expr_lib.cuda import Ahead, Recorded
from expr_lib.faceset import FaceSet
from expr_lib.methods.fusion import LandmarkFusion, build_fusion
from expr_lib.methods.paper import TransferLearner
from expr_lib.processes import choose_device
from expr_lib.splits import split_photos
from expr_lib.training import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
WORDS = ("neutral", "happy", "sad")


def noise_faces(size: int = 64, people: int = 10) -> FaceSet:
    """Noise in the place of faces: enough to compute with."""
    rng = np.random.default_rng(0)
    rows = [(f"p{person}", word) for person in range(people) for word in WORDS]
    table = pd.DataFrame(rows, columns=["person", "expression"]).assign(
        path="", intensity=1.0, gaze="frontal", yaw=0, frame=0, faces=1
    )
    images = rng.integers(0, 256, (len(rows), size, size, 3), dtype=np.uint8)
    points = rng.uniform(0.2, 0.8, (len(rows), 68, 2)).astype(np.float32)
    card = {"key": "noise", "source": "noise"}
    return FaceSet(Path(), images, points, table, card)  # type: ignore[arg-type]


def make_learner(*overrides: str) -> TransferLearner:
    faces = noise_faces()
    small = ["transfer.images=480", "transfer.curve_pairs=4", "transfer.keep=last", *overrides]
    settings = load_settings("smoke", small)
    torch.manual_seed(0)
    fusion = LandmarkFusion(build_fusion(settings.fusion))
    return TransferLearner(faces, split_photos(faces.table), fusion, settings)


def losses_of(learner: TransferLearner, steps: int) -> np.ndarray:
    return np.array([[v.item() for v in learner.step(n).values()] for n in range(steps)])


def test_a_recorded_step_does_what_the_plain_one_does() -> None:
    recorded, plain = (
        make_learner("transfer.schedule=linear"),
        make_learner("transfer.schedule=linear"),
    )
    assert isinstance(recorded.learn, Recorded) and isinstance(recorded.ahead, Ahead)
    plain.learn, plain.ahead = plain._learn, None
    np.testing.assert_allclose(losses_of(recorded, 20), losses_of(plain, 20), rtol=0.03)
    assert recorded.learn.graph is not None
    for name, module in recorded.modules.items():
        other = plain.modules[name].state_dict()
        for key, value in module.state_dict().items():
            apart = (value.float() - other[key].float()).norm()
            assert apart <= 0.05 * other[key].float().norm() + 1e-3, (name, key)


def test_batches_made_ahead_are_the_right_ones() -> None:
    learner = make_learner()
    assert learner.ahead is not None
    for step in (0, 1, 2, 7, 8, 3):
        for ahead, now in zip(learner.ahead.take(step), learner._draw(step), strict=True):
            assert torch.equal(ahead, now)
        learner.ahead.prepare(step + 1)


def test_photos_that_stay_on_disk_are_the_same() -> None:
    learner = make_learner()
    resident = learner.photos.take(learner.samples.rows[:5])
    learner.photos.resident = None
    assert torch.equal(resident, learner.photos.take(learner.samples.rows[:5]))
    assert resident.device.type == choose_device().type == "cuda"


def test_a_stopped_run_goes_on_closely(tmp_path: Path) -> None:
    """Bit by bit is promised on CPUs only."""
    about = {"key": "k", "seed": 0, "title": "transfer", "checkpoint_seconds": 0.0}
    whole = make_learner()
    train(whole, steps=24, folder=tmp_path / "whole", **about)
    train(make_learner(), steps=12, folder=tmp_path / "half", **about)
    again = make_learner()
    train(again, steps=24, folder=tmp_path / "half", **about)
    for key, value in whole.generator.state_dict().items():
        apart = (value.float() - again.generator.state_dict()[key].float()).norm()
        assert apart <= 0.05 * value.float().norm() + 1e-3, key


def test_too_large_a_batch_is_named(tmp_path: Path) -> None:
    from expr_lib.methods.paper import PaperModel
    from expr_lib.training import OutOfMemory

    faces = noise_faces()
    settings = load_settings("smoke", ["transfer.batch=2000000", "transfer.images=2000000"])
    fusion = LandmarkFusion(build_fusion(settings.fusion))
    with pytest.raises(OutOfMemory, match=r"lower transfer\.batch = 2000000"):
        PaperModel.untrained(fusion, settings).fit(
            faces, split_photos(faces.table), settings, tmp_path
        )
