"""Cross-validation: five trainings, everyone measured once, mean and spread."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from expr_lib.config import load_settings
from expr_lib.errors import BadSetting, TooFewPeople
from expr_lib.evaluation import MEASURES
from expr_lib.faceset import FaceSet
from expr_lib.folds import cross_validate
from expr_lib.runs import Run
from expr_lib.splits import FOLDS

TINY = [
    "fusion.images=640",
    "transfer.images=16",
    "transfer.filters=4",
    "transfer.curve_points=1",
    "evaluation.pairs=4",
    "evaluation.same_person_pairs=0",
    "fold=2",
]


def test_every_fold_is_trained_and_measured_once(small_faces: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run", load_settings("smoke", TINY), faces_at=small_faces)
    run.model()
    text = cross_validate(run)
    table = pd.read_csv(tmp_path / "run" / "folds" / "table.csv")
    assert sorted(table["fold"].unique()) == list(range(FOLDS))
    assert (table.groupby(["fold", "method"]).size() == len(MEASURES)).all()
    unseen: list[str] = []
    for fold in range(FOLDS):
        folder = tmp_path / "run" / ("" if fold == 2 else f"folds/{fold}")
        parts = pd.read_csv(folder / "split.csv", dtype=str)
        unseen += parts.loc[parts["part"] == "test", "person"].tolist()
        pairs = pd.read_csv(folder / "evaluation" / "pairs.csv", dtype={"person": str})
        assert set(pairs["person"]) <= set(parts.loc[parts["part"] == "test", "person"])
    assert sorted(unseen) == list(FaceSet.load(small_faces).people)
    means = table[(table["method"] == "copy") & (table["measure"] == "ssim")]["mean"]
    assert f"| copy | {means.mean():.3f} ± {means.std():.3f} |" in text
    assert "5 folds over people, 20 pairs altogether" in text
    assert "nan" not in text
    assert not (tmp_path / "run" / "folds" / "2").exists()
    model = tmp_path / "run" / "folds" / "0" / "transfer" / "model.safetensors"
    before = model.stat().st_mtime_ns
    assert cross_validate(run) == text  # again: nothing is trained twice
    assert model.stat().st_mtime_ns == before


def test_what_cannot_be_cross_validated_is_told(small_faces: Path, tmp_path: Path) -> None:
    people = FaceSet.load(small_faces).people
    file = tmp_path / "split.csv"
    pd.DataFrame({"person": people, "part": ["test"] * 3 + ["train"] * 7}).to_csv(file, index=False)
    settings = load_settings("smoke", [*TINY, f"split={file}"])
    with pytest.raises(BadSetting, match="a file splits in one way only"):
        cross_validate(Run(tmp_path / "run", settings, faces_at=small_faces))


def test_too_few_people_for_the_last_fold_are_told_before_the_work(
    small_faces: Path, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run", load_settings("smoke", TINY), faces_at=small_faces)
    faces = run.faces()
    few = np.flatnonzero(faces.table["person"].isin(faces.people[:8]))
    table = faces.table.iloc[few].reset_index(drop=True)
    run._faces = replace(
        faces, images=faces.images[few], landmarks=faces.landmarks[few], table=table
    )
    with pytest.raises(TooFewPeople, match="with fold 3 at least 9"):
        cross_validate(run)
    assert not (tmp_path / "run" / "folds").exists()
