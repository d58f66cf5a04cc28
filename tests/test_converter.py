"""FReeNet's landmark converter, its training and its use."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from expr_lib.config import load_settings
from expr_lib.errors import TooFewPeople
from expr_lib.methods.converter import Converter, ConverterLearner, ConverterSamples
from expr_lib.methods.fusion import FusionLearner
from expr_lib.models.converter import FaceDiscriminator, LandmarkConverter, PersonDiscriminator
from expr_lib.splits import split_photos
from expr_lib.training import train
from toy_points import toy_faces
from toy_training import Killed, assert_same_weights

FACES = toy_faces(gazes=("frontal", "left"))
SPLIT = split_photos(FACES.table)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(("landmarks", "count"), [(68, 4_411_016), (106, 4_527_828)])
def test_the_converter_is_as_large_as_freenets(landmarks: int, count: int) -> None:
    network = LandmarkConverter(landmarks)
    assert sum(p.numel() for p in network.parameters()) == count


def test_the_discriminators_give_one_number_a_face() -> None:
    points = torch.randn(3, 16)
    assert FaceDiscriminator(8)(points).shape == (3, 1)
    assert PersonDiscriminator(8)(points, points).shape == (3, 1)
    layers = [m for m in PersonDiscriminator(68).modules() if isinstance(m, torch.nn.Linear)]
    assert [m.out_features for m in layers] == [512, 512, 64, 512, 512, 64, 128, 32, 1]
    layers = [m for m in FaceDiscriminator(68).modules() if isinstance(m, torch.nn.Linear)]
    assert [m.out_features for m in layers] == [512, 512, 512, 512, 64, 1]


def test_examples_are_as_freenet_draws_them() -> None:
    samples = ConverterSamples(SPLIT.table, SPLIT.train, seed=0)
    examples = np.concatenate([samples.draw(step, 16) for step in range(20)])
    person, word, gaze = (
        FACES.table[name].to_numpy()[examples] for name in ("person", "expression", "gaze")
    )
    source, own, neutral, truth, other = range(5)
    assert (word[:, own] == "neutral").all() and (word[:, neutral] == "neutral").all()
    assert (word[:, source] == word[:, truth]).all()
    assert (person[:, source] == person[:, own]).all()
    assert (gaze[:, source] == gaze[:, own]).all()
    assert (gaze[:, neutral] == "frontal").all() and (gaze[:, truth] == "frontal").all()
    for column in (truth, other):
        assert (person[:, column] == person[:, neutral]).all()
    assert set(gaze[:, source]) == {"frontal", "left"}
    assert set(np.unique(examples)) <= set(SPLIT.train)
    epoch = np.concatenate([samples.draw(i, 1) for i in range(len(samples))])
    assert sorted(epoch[:, source]) == sorted(SPLIT.train)
    assert (samples.draw(3, 16) == samples.draw(3, 16)).all()


def test_the_rate_falls_as_freenets_after_every_60_of_200_epochs() -> None:
    learner = ConverterLearner(FACES, SPLIT, images=160, seed=0)
    rates = []
    for step in range(learner.steps):
        learner.step(step)
        rates.append(learner.optimisers["face"].param_groups[0]["lr"])
    np.testing.assert_allclose(rates, [3e-4] * 3 + [3e-5] * 3 + [3e-6] * 3 + [3e-7], rtol=1e-6)


class StopsAt:
    def __init__(self, learner: ConverterLearner, stop_at: int) -> None:
        self._learner, self._stop_at = learner, stop_at

    def __getattr__(self, name: str) -> object:
        return getattr(self._learner, name)

    def step(self, step: int) -> dict[str, Tensor]:
        if step == self._stop_at:
            raise Killed
        return self._learner.step(step)


def test_the_converter_resumes_exactly(tmp_path: Path) -> None:
    options = {"key": "k", "seed": 0, "title": "converter", "checkpoint_seconds": 0.0}

    def new() -> ConverterLearner:
        return ConverterLearner(FACES, SPLIT, images=96, seed=0)

    whole = new()
    train(whole, steps=whole.steps, folder=tmp_path / "whole", **options)
    with pytest.raises(Killed):
        train(StopsAt(new(), 4), steps=whole.steps, folder=tmp_path / "killed", **options)
    resumed = new()
    train(resumed, steps=whole.steps, folder=tmp_path / "killed", **options)
    for name, module in whole.modules.items():
        assert_same_weights(module, resumed.modules[name])


def overfit(learner: ConverterLearner | FusionLearner, rows: np.ndarray, steps: int) -> None:
    """Teach a learner the same few examples again and again; its l1 to their truths must fall to
    a fifth."""
    learner.samples.draw = lambda step, batch: np.resize(rows, (batch, rows.shape[1]))  # type: ignore[method-assign]
    first = learner.step(0)["l1"].item()
    for step in range(1, steps):
        last = learner.step(step)["l1"].item()
    assert last < 0.2 * first


def test_the_converter_overfits_four_people() -> None:
    """Its own loss is the L1 to the truth, made from the neutral face."""
    learner = ConverterLearner(FACES, SPLIT, images=16 * 400, seed=0)
    examples = learner.samples.draw(0, 64)
    person, word = (FACES.table[n].to_numpy() for n in ("person", "expression"))
    four = np.unique(person[SPLIT.train])[:4]
    moving = np.isin(person[examples[:, 3]], four) & (word[examples[:, 3]] != "neutral")
    overfit(learner, examples[moving][:8], 60)


@pytest.mark.parametrize("preset", ["paper", "laptop"])
def test_the_networks_of_the_presets_overfit_four_people(preset: str) -> None:
    """Their own loss is the L1 to the truth, Eq. 5, made from the target."""
    plain = ["fusion.flips=false", "fusion.mixup=false", "fusion.images=6400", "fusion.batch=16"]
    learner = FusionLearner(FACES, SPLIT, load_settings(preset, plain))
    examples = learner.samples.draw(0, 200)
    person, word = (FACES.table[n].to_numpy() for n in ("person", "expression"))
    four = np.unique(person[SPLIT.train])[:4]
    moving = np.isin(person[examples[:, 2]], four)
    moving &= word[examples[:, 1]] != word[examples[:, 2]]
    overfit(learner, examples[moving][:8], 300)


def test_the_converter_learns_more_than_copying(tmp_path: Path) -> None:
    converter = Converter.fit(FACES, SPLIT, 16 * 50, 0, tmp_path, "k")
    learner = ConverterLearner(FACES, SPLIT, 16, 0)
    learner.converter = converter.network
    found = learner.probe()
    assert found["test_error"] < 0.8 * found["test_error_copy"]
    converter.save(tmp_path)
    again = Converter.load(tmp_path, FACES.layout.count)
    triples = SPLIT.pairs("test", 40, 0)
    assert (again.fuse(FACES, triples) == converter.fuse(FACES, triples)).all()


def test_the_target_counts_by_its_neutral_face_alone() -> None:
    converter = Converter(LandmarkConverter(8))
    triples = SPLIT.pairs("test", 10_000, 0)
    fused = converter.fuse(FACES, triples)
    source, person = triples[:, 0], FACES.table["person"].to_numpy()[triples[:, 1]]
    same = (source == source[0]) & (person == person[0])
    assert same.sum() > 1
    np.testing.assert_allclose(fused[same], np.broadcast_to(fused[0], fused[same].shape), atol=1e-6)


def test_without_neutral_faces_there_is_nothing_to_learn() -> None:
    faces = toy_faces(words=("happy", "sad"))
    split = split_photos(faces.table)
    with pytest.raises(TooFewPeople, match="neutral"):
        ConverterLearner(faces, split, 16, 0)
    fused = Converter(LandmarkConverter(8)).fuse(faces, split.pairs("test", 10, 0))
    assert np.isnan(fused).all()
