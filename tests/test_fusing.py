"""All ways to fuse landmarks, side by side."""

from pathlib import Path

import numpy as np
import pytest
import torch

from expr_lib.config import load_settings
from expr_lib.fusing import FusionComparison, compare_fusion, fusion_as_markdown
from expr_lib.methods import fusion as fusion_module
from expr_lib.methods.fusion import LandmarkFusion
from expr_lib.metrics import landmark_error
from expr_lib.splits import split_photos
from toy_points import TOY, toy_faces

SETTINGS = load_settings("smoke", ["fusion.images=640", "evaluation.pairs=60"])
METHODS = [
    "copy_target",
    "copy_source",
    "relative_motion",
    "mean_shift",
    "ridge",
    "printed",
    "alone",
    "own",
    "freenet",
]
FACES = toy_faces()
SPLIT = split_photos(FACES.table)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[FusionComparison, Path]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("rivals")
    return compare_fusion(FACES, SPLIT, SETTINGS, folder, images=80), folder


def test_every_method_is_measured_on_the_same_pairs(compared) -> None:
    pairs, summary = compared[0].pairs, compared[0].summary
    assert list(summary["method"]) == METHODS
    triples = SPLIT.pairs("test", 60, 0)
    for _, rows in pairs.groupby("method"):
        assert (rows[["source", "target", "truth"]].to_numpy() == triples).all()
    copied = pairs[pairs["method"] == "copy_target"]
    target, truth = (FACES.landmarks[triples[:, column]] for column in (1, 2))
    np.testing.assert_allclose(copied["face"], landmark_error(target, truth, TOY))
    np.testing.assert_allclose(copied["mouth"], landmark_error(target, truth, TOY, "mouth"))
    np.testing.assert_allclose(copied["face"], copied["mouth"] / 4)  # two points of eight move
    assert (copied[["brows", "eyes", "jaw"]].to_numpy() == 0).all()


def test_the_summary_is_over_people_and_beside_ridge(compared) -> None:
    pairs, summary = compared[0].pairs, compared[0].summary.set_index("method")
    of_people = pairs.groupby(["method", "person"])["face"].mean().groupby("method").mean()
    for name in METHODS:
        row = summary.loc[name]
        assert row["face"] == pytest.approx(of_people[name])
        assert row["face_low"] <= row["face"] <= row["face_high"]
        assert row["ratio"] == pytest.approx(of_people[name] / of_people["ridge"])
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert (row["pairs"], row["people"], row["reason"]) == (60, 3, "")
    assert summary.loc["ridge", "ratio_high"] == 1


def test_the_table_says_what_each_method_needs(compared) -> None:
    lines = fusion_as_markdown(compared[0], TOY).splitlines()
    assert len(lines) == 2 + len(METHODS)
    assert lines[0].startswith("| method | needs besides source and target | landmark error % |")
    assert all(line.count("|") == lines[0].count("|") for line in lines)
    told = {line.split(" | ")[0].strip("| "): line.split(" | ")[1] for line in lines[2:]}
    assert told["copy target"] == told["ridge regression"] == told["Φ as printed"] == "-"
    assert told["FReeNet's converter"] == "the target's neutral face"
    assert told["relative motion"] == "the source's person with the target's expression"


def test_what_is_trained_is_not_trained_again(
    compared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison, folder = compared
    assert {path.name for path in folder.iterdir()} == {"ridge", "printed", "own", "freenet"}
    monkeypatch.setattr(fusion_module, "train", None)
    again = compare_fusion(FACES, SPLIT, SETTINGS, folder, images=80)
    assert again.pairs.equals(comparison.pairs)
    assert "step" not in capsys.readouterr().out


def test_another_budget_trains_anew(compared, tmp_path: Path) -> None:
    comparison, _ = compared
    own = LandmarkFusion.load(compared[1] / "own", SETTINGS, TOY.count)
    compare_fusion(FACES, SPLIT, SETTINGS, tmp_path, fusion=own, images=80)
    card = (tmp_path / "printed" / "stage.json").read_text()
    again = compare_fusion(FACES, SPLIT, SETTINGS, tmp_path, fusion=own, images=96)
    assert (tmp_path / "printed" / "stage.json").read_text() != card
    assert not (tmp_path / "own").exists()  # it was given
    ours = [c.pairs[c.pairs["method"] == "own"]["face"].to_numpy() for c in (comparison, again)]
    assert (ours[0] == ours[1]).all()


def test_a_method_that_cannot_run_says_why(tmp_path: Path) -> None:
    faces = toy_faces(words=("happy", "sad"))
    settings = load_settings("smoke", ["fusion.model=ridge", "evaluation.pairs=60"])
    found = compare_fusion(faces, split_photos(faces.table), settings, tmp_path, images=8)
    summary = found.summary.set_index("method")
    assert "own" not in summary.index  # the run's own stage 1 is the row of ridge
    row = summary.loc["freenet"]
    assert (row["pairs"], row["reason"]) == (
        0,
        "no training person shows a neutral face that looks ahead",
    )
    assert np.isnan(row["face"]) and np.isnan(row["ratio"])
    line = fusion_as_markdown(found, TOY).splitlines()[-1]
    assert "looks ahead | - " in line and line.endswith("| 0 |")
    assert (summary.drop("freenet")["reason"] == "").all()


def test_without_a_budget_the_big_networks_are_left_out(compared) -> None:
    own = LandmarkFusion.load(compared[1] / "own", SETTINGS, TOY.count)
    found = compare_fusion(FACES, SPLIT, SETTINGS, compared[1], fusion=own, images=0)
    assert list(found.summary["method"]) == [m for m in METHODS if m not in ("printed", "freenet")]
