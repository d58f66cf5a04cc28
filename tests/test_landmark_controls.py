"""The controls of stage 1, against values that are known."""

import numpy as np
import pandas as pd
import pytest

from expr_lib.methods.landmark_controls import (
    CopySourcePoints,
    CopyTargetPoints,
    MeanShift,
    RelativeMotion,
)
from expr_lib.pointset import PointSet
from expr_lib.splits import Split, split_photos
from toy_points import TOY, toy_faces

FACES = toy_faces()
SPLIT = split_photos(FACES.table)
TRIPLES = SPLIT.pairs("test", 10_000, 0)
SOURCE, TARGET, TRUTH = (FACES.landmarks[TRIPLES[:, column]] for column in range(3))


def without(faces: PointSet, gone: pd.Series) -> PointSet:
    table = faces.table[~gone].reset_index(drop=True)
    return PointSet(faces.landmarks[~gone.to_numpy()], table, TOY)


def test_copies_are_copies() -> None:
    for method, wanted in ((CopyTargetPoints(), TARGET), (CopySourcePoints(), SOURCE)):
        fused = method.fuse(FACES, TRIPLES)
        assert (fused == wanted).all()
        assert not np.shares_memory(fused, FACES.landmarks)


@pytest.mark.parametrize("method", [RelativeMotion(), MeanShift(FACES, SPLIT)])
def test_motion_that_is_everyones_is_carried_over_exactly(method) -> None:
    np.testing.assert_allclose(method.fuse(FACES, TRIPLES), TRUTH, atol=1e-6)


def test_relative_motion_is_that_of_the_source() -> None:
    """The source smiles from its own sad face by some amount; the target moves by it."""
    points = FACES.landmarks.copy()
    about = FACES.table
    row = {
        (p, e): i for i, (p, e) in enumerate(zip(about["person"], about["expression"], strict=True))
    }
    points[row["p00", "happy"]] = points[row["p00", "sad"]] + np.float32(0.1)
    moved = PointSet(points, about, TOY)
    triple = np.array([[row["p00", "happy"], row["p05", "sad"], row["p05", "happy"]]])
    fused = RelativeMotion().fuse(moved, triple)
    np.testing.assert_allclose(fused[0], points[row["p05", "sad"]] + 0.1, atol=1e-6)


def test_the_source_moves_under_its_own_gaze() -> None:
    """A gaze that shifts the whole face is no motion between expressions."""
    faces = toy_faces(gazes=("frontal", "left"))
    aside = (faces.table["gaze"] == "left").to_numpy()
    shifted = faces.landmarks + np.where(aside, 0.05, 0.0)[:, None, None].astype(np.float32)
    faces = PointSet(shifted, faces.table, TOY)
    split = Split(faces.table, split_photos(faces.table).parts, gaze="any")
    triples = split.pairs("test", 10_000, 0)
    fused = RelativeMotion().fuse(faces, triples)
    np.testing.assert_allclose(fused, shifted[triples[:, 2]], atol=1e-6)


def test_mean_shift_knows_training_people_alone() -> None:
    points = FACES.landmarks.copy()
    points[SPLIT.test] += np.float32(0.3)
    moved = PointSet(points, FACES.table, TOY)
    fused = MeanShift(moved, SPLIT).fuse(moved, TRIPLES)
    np.testing.assert_allclose(fused, TRUTH + 0.3, atol=1e-6)


def test_what_is_missing_leaves_a_gap_where_it_is_needed() -> None:
    gone = (FACES.table["person"] == "p00") & (FACES.table["expression"] == "sad")
    faces = without(FACES, gone)
    split = split_photos(faces.table)
    triples = split.pairs("test", 10_000, 0)
    person, word = (faces.table[name].to_numpy() for name in ("person", "expression"))
    lacks = (person[triples[:, 0]] == "p00") & (word[triples[:, 1]] == "sad")
    assert 0 < lacks.sum() < len(triples)
    gaps = np.isnan(RelativeMotion().fuse(faces, triples)).any((1, 2))
    assert (gaps == lacks).all()
    unlearnt = without(FACES, (FACES.table["expression"] == "sad") & (SPLIT.parts == "train"))
    split = split_photos(unlearnt.table)
    triples = split.pairs("test", 10_000, 0)
    sad = (unlearnt.table["expression"].to_numpy() == "sad")[triples[:, :2]].any(1)
    gaps = np.isnan(MeanShift(unlearnt, split).fuse(unlearnt, triples)).any((1, 2))
    assert (gaps == sad).all() and sad.any()
