"""The paper's rivals and ablations: each learns, goes on exactly after a kill, and paints the same
when it is read back."""

from pathlib import Path

import numpy as np
import pytest
import torch

from expr_lib.config import change_settings, load_settings
from expr_lib.errors import BadSetting, BrokenCheckpoint, TooFewPeople
from expr_lib.faceset import FaceSet
from expr_lib.methods.base import FaceBatch
from expr_lib.methods.catalogue import CATALOGUE, Entry, choose, method_of
from expr_lib.methods.fusion import LandmarkFusion, build_fusion
from expr_lib.methods.g2gan import neutral_rows
from expr_lib.methods.painting import PaintingLearner, label_planes, model_of
from expr_lib.models.exprgan import PhotoDiscriminator
from expr_lib.models.patchgan import PatchGAN
from expr_lib.models.stargan import StarDiscriminator, StarGenerator, gradient_penalty
from expr_lib.models.unet import UNet
from expr_lib.splits import split_photos
from expr_lib.training import train
from test_training import SMALL, StopsAt
from toy_training import Killed, assert_same_weights, show_four_people

RIVALS = ("cgan", "pix2pix", "g2gan", "stargan", "exprgan")
LEARNT = [entry for entry in CATALOGUE if entry.settings]


@pytest.fixture(scope="module")
def faces(small_faces: Path) -> FaceSet:
    torch.set_num_threads(1)
    return FaceSet.load(small_faces)


def entry_of(name: str) -> Entry:
    return next(entry for entry in CATALOGUE if entry.name == name)


def make_learner(name: str, faces: FaceSet, *overrides: str) -> PaintingLearner:
    settings = load_settings("smoke", [*SMALL, *overrides])
    settings = change_settings(settings, entry_of(name).settings)
    faces = faces.in_grey() if settings.grey else faces
    fusion = LandmarkFusion(build_fusion(settings.fusion))
    fusion.network.measure(torch.from_numpy(np.array(faces.landmarks)))  # untrained otherwise
    return method_of(settings).learner(faces, split_photos(faces.table), fusion, settings)


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_published_networks_have_their_size() -> None:
    # pix2pix's U-Net-256 for 3 channels in, and for a fourth; its PatchGAN for 6, and for a seventh
    assert parameters(UNet(in_channels=3, dropout=0.5)) == 54_413_955
    assert parameters(UNet(in_channels=4, dropout=0.5)) == 54_413_955 + 64 * 16
    assert parameters(PatchGAN(6, norm="batch", activation="leaky")) == 2_768_705
    assert parameters(PatchGAN(7, norm="batch", activation="leaky")) == 2_768_705 + 64 * 16
    assert round(parameters(StarGenerator()) / 1e6, 2) == 8.44
    assert round(parameters(StarDiscriminator(128)) / 1e6, 2) == 44.79


def test_dropout_is_in_the_widest_of_the_first_blocks() -> None:
    def drops(size: int) -> list[bool]:
        network = UNet(size, filters=2, dropout=0.5)
        return [isinstance(block[-1], torch.nn.Dropout) for block in network.up]

    assert drops(256) == [True, True, True, False, False, False]
    assert drops(128) == [True, True, False, False, False]


# steps, and the part of its own losses that may be left after them
TARGETS = {
    "paper": (100, {"l1": 0.4}),
    "cgan": (150, {"l1": 0.75}),  # D alone teaches it; the pixels come near the truth all the same
    "pix2pix": (100, {"l1": 0.4}),
    "g2gan": (100, {"l1": 0.5, "cycle": 0.5}),
    "stargan": (60, {"fake_named": 0.8, "cycle": 0.7}),
    "exprgan": (120, {"l1": 0.7, "code": 0.7}),
}


@pytest.mark.parametrize("name", TARGETS)
def test_each_method_overfits_four_people(name: str, faces: FaceSet) -> None:
    steps, targets = TARGETS[name]
    wide = ("transfer.filters=16", "transfer.discriminator_filters=8")
    learner = make_learner(
        name, faces, *wide, "size=32", "transfer.flips=no", "transfer.images=40000"
    )
    show_four_people(learner)
    first = {name: loss.item() for name, loss in learner.step(0).items()}
    for step in range(1, steps):
        last = learner.step(step)
    for loss, part in targets.items():
        assert last[loss].item() < part * first[loss], (loss, first[loss], last[loss].item())


@pytest.mark.parametrize("entry", LEARNT, ids=[entry.name for entry in LEARNT])
def test_every_row_trains_and_paints_the_same_when_read_back(
    entry: Entry, faces: FaceSet, tmp_path: Path
) -> None:
    learner = make_learner(entry.name, faces)
    before = {n: m.state_dict() for n, m in learner.modules.items()}
    before = {n: {k: v.clone() for k, v in state.items()} for n, state in before.items()}
    losses = learner.step(learner.steps - 1)  # some networks begin late
    assert all(torch.isfinite(loss) for loss in losses.values())
    for name, module in learner.modules.items():
        if name == "discriminator" and not learner.settings.weight_adversarial:
            continue
        moved = [k for k, v in module.named_parameters() if not torch.equal(v, before[name][k])]
        assert moved, name
    method = learner.painter()
    method.save(tmp_path)
    again = type(method).load(tmp_path, learner.run)
    source, target = (FaceBatch.of(faces, np.arange(i, i + 3), 64) for i in (0, 9))
    painted = method.generate(source, target)
    assert painted.shape == (3, 64, 64, 3)
    assert (painted == again.generate(source, target)).all()
    alone = method.generate(source[1:2], target[1:2])[0].astype(int)
    rounding = 1 if entry.name == "exprgan" else 0  # its long sums are rounded otherwise
    assert np.abs(painted[1] - alone).max() <= rounding  # no neighbours


@pytest.mark.parametrize("name", ["paper", *RIVALS, "retouch"])
def test_training_may_start_from_a_finished_model(
    name: str, faces: FaceSet, tmp_path: Path
) -> None:
    known, learner = (make_learner(name, faces, f"seed={seed}") for seed in (3, 0))
    known.painter().save(tmp_path / "transfer")
    learner.start_from(model_of(tmp_path))
    own, theirs = learner.painter().networks, known.painter().networks
    for part, network in own.items():
        assert_same_weights(network, theirs[part])
        assert_same_weights(learner.modules[part], theirs[part])
    judge = next(n for n in learner.modules if "discriminator" in n or n in ("face", "code"))
    mine, other = (next(each.modules[judge].parameters()) for each in (learner, known))
    assert not torch.equal(mine, other)  # it begins anew
    wider = make_learner(name, faces, "transfer.filters=8")
    with pytest.raises(BrokenCheckpoint, match="was made for another network"):
        wider.start_from(model_of(tmp_path))


def test_where_there_is_no_model_nothing_can_start(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"transfer.start = .*: there is no finished model"):
        model_of(tmp_path)
    with pytest.raises(BadSetting, match="has a blank in it"):
        load_settings("smoke", ["transfer.start=my run"])


@pytest.mark.parametrize("name", ["pix2pix", "g2gan", "stargan", "exprgan"])
def test_each_rival_resumes_exactly(name: str, faces: FaceSet, tmp_path: Path) -> None:
    images = {"stargan": 120}.get(name, 32)
    options = {"key": "k", "seed": 0, "title": name, "checkpoint_seconds": 0.0}
    more = f"transfer.images={images}"
    whole = make_learner(name, faces, more)
    train(whole, steps=whole.steps, folder=tmp_path / "whole", **options)
    stopped = StopsAt(make_learner(name, faces, more), whole.steps * 2 // 3)
    with pytest.raises(Killed):
        train(stopped, steps=whole.steps, folder=tmp_path / "killed", **options)
    resumed = make_learner(name, faces, more)
    train(resumed, steps=whole.steps, folder=tmp_path / "killed", **options)
    for part, module in whole.modules.items():
        assert_same_weights(module, resumed.modules[part])


def test_exprgan_reads_codes_from_the_first_step_and_judges_photos_in_the_last_third(
    faces: FaceSet,
) -> None:
    learner = make_learner("exprgan", faces, "transfer.images=48")
    judge = learner.modules["discriminator_photo"]
    assert isinstance(judge, PhotoDiscriminator)
    moved = []
    for step in range(learner.steps):
        before = judge.real.weight.detach().clone(), judge.each.weight.detach().clone()
        learner.step(step)
        after = judge.real.weight, judge.each.weight
        moved.append(tuple(not torch.equal(a, b) for a, b in zip(before, after, strict=True)))
    early = learner.steps * 2 // 3
    assert moved == [(False, True)] * early + [(True, True)] * (learner.steps - early)


def test_only_the_labels_change_what_a_label_driven_method_paints(faces: FaceSet) -> None:
    target = FaceBatch.of(faces, np.array([0, 0]), 64)
    for name in ("cgan", "stargan", "exprgan"):
        learner = make_learner(name, faces)
        for step in range(8):
            learner.step(step)
        method = learner.painter()
        happy, sad = (np.array([word, word]) for word in ("happy", "sad"))
        one = FaceBatch(target.photos, target.points, happy)
        same = FaceBatch(target.photos[::-1].copy(), target.points + 0.1, happy)
        other = FaceBatch(target.photos, target.points, sad)
        painted = method.generate(one, target)
        assert (painted == method.generate(same, target)).all(), name
        assert (painted != method.generate(other, target)).any(), name
        with pytest.raises(BadSetting, match="nobody has named it"):
            method.generate(FaceBatch(target.photos, target.points), target)


def test_without_fusion_the_sources_own_landmarks_are_shown(faces: FaceSet) -> None:
    method = make_learner("no_fusion", faces).painter()
    source, target = (FaceBatch.of(faces, np.array([i]), 64) for i in (0, 9))
    assert (method.reach(source, target) == source.points).all()
    assert (method.fuse(source, target) != source.points).any()


def test_planes_are_one_hot() -> None:
    planes = label_planes(np.array(["happy", "neutral"]), 4, torch.device("cpu"))
    assert planes.shape == (2, 8, 4, 4)
    assert planes[0, :, 0, 0].tolist() == [-1, 1, -1, -1, -1, -1, -1, -1]
    assert planes[1].amax((1, 2)).tolist() == [1, -1, -1, -1, -1, -1, -1, -1]
    with pytest.raises(BadSetting, match="'bored' is none of"):
        label_planes(np.array(["bored"]), 4, torch.device("cpu"))


def test_the_penalty_is_that_of_the_gradients_length() -> None:
    class Linear(torch.nn.Module):
        def forward(self, photos: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return 3 * photos[:, :1, :1, :1], photos

    photos = torch.zeros(2, 3, 4, 4)
    assert gradient_penalty(Linear(), photos, photos + 1).item() == pytest.approx((3 - 1) ** 2)


def test_g2gan_needs_neutral_faces(faces: FaceSet) -> None:
    table = faces.table
    rows = neutral_rows(faces, np.arange(len(faces)))
    assert (table["expression"].to_numpy()[rows] == "neutral").all()
    assert (table["person"].to_numpy()[rows] == table["person"].to_numpy()).all()
    shown = np.flatnonzero(table["expression"] != "neutral")
    assert (neutral_rows(faces, shown) == -1).all()
    without = FaceSet(
        faces.folder,
        faces.images[shown],
        faces.landmarks[shown],
        table.iloc[shown].reset_index(drop=True),
        faces.card,
    )
    with pytest.raises(TooFewPeople, match="neutral faces"):
        make_learner("g2gan", without)


def test_names_choose_rows_and_seeds() -> None:
    assert [(e.name, n) for e, n in choose("paper*3, copy")] == [("copy", 1), ("paper", 3)]
    assert len(choose("all")) == len(CATALOGUE)
    chosen = {e.name: n for e, n in choose("all,paper*3,pix2pix*2")}
    assert (chosen["paper"], chosen["pix2pix"], chosen["cgan"]) == (3, 2, 1)
    assert {e.group for e, _ in choose("rivals")} == {"rival"}
    with pytest.raises(BadSetting, match="did you mean pix2pix"):
        choose("pixpix")
    for wrong in ("", "paper*x", "paper*0"):
        with pytest.raises(BadSetting):
            choose(wrong)


def test_each_row_changes_settings_that_there_are() -> None:
    base = load_settings("laptop")
    for entry in CATALOGUE:
        changed = change_settings(base, entry.settings)
        assert (changed != base) == bool(entry.settings), entry.name
