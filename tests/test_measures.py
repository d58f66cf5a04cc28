"""Measuring results: every column, and what is missing when no face is found."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from expr_lib.embedding import embed_face
from expr_lib.expressions import ExpressionClassifier
from expr_lib.measures import ALL_MEASURES, MEASURES, measure
from expr_lib.measuring import embed_all, find_again
from expr_lib.methods.base import FaceBatch
from expr_lib.metrics import face_mask, mouth_mask, mouth_psnr, psnr, sharpness, ssim, ssim_in
from expr_lib.points import IBUG68

if TYPE_CHECKING:
    from expr_lib.sources.synthetic import Rendered

GIVEN = ("leak", "recognised")  # the columns for which more than the truth must be given


def seen(
    drawn_face: Rendered, *results: np.ndarray, wanted_by: float = 0.0, **more: Any
) -> pd.DataFrame:
    """Measure results beside a drawn face, whose own points, shifted, were wanted."""
    photos = np.repeat(drawn_face.image[None], len(results), axis=0)
    points = ((drawn_face.landmarks + 0.5) / photos.shape[1]).astype(np.float32)
    points = np.repeat(points[None], len(results), axis=0)
    codes = embed_all(photos[:1], points[:1], jobs=1)
    truth = FaceBatch(photos, points)
    return measure(np.stack(results), truth, codes, points + wanted_by, **more)


def test_a_perfect_result(drawn_face: Rendered) -> None:
    row = seen(drawn_face, drawn_face.image).iloc[0]
    assert row["ssim"] == pytest.approx(1)
    assert math.isinf(row["psnr"])
    assert math.isinf(row["psnr_mouth"])
    assert row["found"] == 1
    assert row["identity"] < 0.2  # the landmarks differ a little, so the embedded crop does
    assert row["error_wanted"] == row["error_truth"] < 8


def test_identity_and_leak_are_distances_of_dlibs_embedding(drawn_face: Rendered) -> None:
    """By hand: the face that dlib finds again, embedded alone, beside codes of our choice."""
    points = find_again(drawn_face.image)
    assert points is not None
    code = embed_face(drawn_face.image, points * 256 - 0.5).astype(float)
    rng = np.random.default_rng(0)
    truth_code, source_code = code + rng.normal(0, 0.05, (2, 128))
    given = points_of(drawn_face)[None]
    truth = FaceBatch(drawn_face.image[None], given)
    codes = {"truth_codes": truth_code[None], "source_codes": source_code[None]}
    row = measure(drawn_face.image[None], truth, wanted=given, **codes).iloc[0]
    to_truth, to_source = (np.sqrt(((code - c) ** 2).sum()) for c in (truth_code, source_code))
    assert row["identity"] == pytest.approx(to_truth, rel=1e-5)
    apart = np.sqrt(((truth_code - source_code) ** 2).sum())
    assert row["leak"] == pytest.approx(apart - to_source, rel=1e-5)


def test_a_result_without_a_face_counts_as_not_found(drawn_face: Rendered) -> None:
    grey = np.full((256, 256, 3), 128, np.uint8)
    row = seen(drawn_face, grey).iloc[0]
    assert row["found"] == 0
    assert row[["identity", "error_wanted", "error_truth"]].isna().all()
    assert row["psnr"] < 20
    assert find_again(grey) is None


def test_errors_tell_wanted_from_truth(drawn_face: Rendered) -> None:
    row = seen(drawn_face, drawn_face.image, wanted_by=0.1).iloc[0]
    assert row["error_wanted"] > row["error_truth"] + 30


def test_many_at_once_are_in_order(drawn_face: Rendered) -> None:
    good, bad = drawn_face.image, np.zeros((256, 256, 3), np.uint8)
    rows = seen(drawn_face, good, bad, good)
    assert rows["found"].to_list() == [1, 0, 1]
    assert rows["identity"].isna().to_list() == [False, True, False]
    assert rows["psnr"][1] < rows["psnr"][0] == rows["psnr"][2]
    code = embed_face(good, drawn_face.landmarks)
    found = embed_all(good[None], (drawn_face.landmarks[None] + 0.5) / 256, jobs=1)
    assert np.allclose(found[0], code, atol=1e-3)
    assert embed_all(good[None], np.full((1, 68, 2), np.nan), jobs=1).shape == (1, 128)


def points_of(drawn_face: Rendered) -> np.ndarray:
    return ((drawn_face.landmarks + 0.5) / len(drawn_face.image)).astype(np.float32)


def toy_classifier(points: np.ndarray) -> ExpressionClassifier:
    """Tells a face from the same face with its brows raised."""
    rng = np.random.default_rng(0)
    faces = points + rng.normal(scale=0.01, size=(80, 68, 2))
    faces[40:, list(IBUG68.parts["brows"]), 1] -= 0.1
    return ExpressionClassifier.fit(faces, np.repeat(["as it is", "raised"], 40))


def test_the_tables_columns_are_some_of_all_and_each_is_measured(drawn_face: Rendered) -> None:
    every = [each.name for group in ALL_MEASURES.values() for each in group]
    assert len(every) == len(set(every))
    assert [each.name for each in MEASURES] == [
        *("ssim", "psnr", "psnr_mouth", "error_wanted", "error_truth", "identity")
    ]
    rows = seen(drawn_face, drawn_face.image)
    assert set(every) - set(rows.columns) == set(GIVEN)
    points = points_of(drawn_face)
    given = {"source_codes": np.zeros((1, 128)), "classifier": toy_classifier(points)}
    rows = seen(drawn_face, drawn_face.image, **given, words=np.array(["raised"]))
    assert set(rows.columns) == {*every, "recognised_truth", "found"}


def test_pictures_are_measured_in_the_truths_face_and_mouth(drawn_face: Rendered) -> None:
    truth, points = drawn_face.image, points_of(drawn_face)
    noise = np.random.default_rng(0).normal(scale=15, size=truth.shape)
    noisy = np.clip(np.rint(truth + noise), 0, 255).astype(np.uint8)
    row = seen(drawn_face, noisy).iloc[0]
    face, mouth = face_mask(points, 256), mouth_mask(points, 256)
    assert row["ssim"] == ssim(noisy, truth)
    in_parts = ssim_in(noisy, truth, (face, mouth))[1:]
    assert row[["ssim_face", "ssim_mouth"]].tolist() == in_parts.tolist()
    assert row["psnr"] == psnr(noisy, truth)
    assert row["psnr_face"] == psnr(noisy, truth, inside=face)
    assert row["psnr_mouth"] == mouth_psnr(noisy, truth, points)
    assert row["sharpness"] == sharpness(noisy, truth, face) > 1


def test_a_part_of_the_face_has_an_error_of_its_own(drawn_face: Rendered) -> None:
    wanted_by = np.zeros((68, 2))
    wanted_by[list(IBUG68.parts["brows"]), 1] = 0.1
    row = seen(drawn_face, drawn_face.image, wanted_by=wanted_by).iloc[0]
    for part in ("mouth", "eyes"):
        assert row[f"error_wanted_{part}"] == pytest.approx(row[f"error_truth_{part}"], abs=1e-4)
        assert row[f"error_truth_{part}"] < 8
    assert row["error_wanted_brows"] > row["error_truth_brows"] + 30


def test_a_result_that_shows_the_source_leaks(drawn_face: Rendered) -> None:
    """The truth is a drawn face; the source lies at its embedding, or one off."""
    code = embed_face(drawn_face.image, drawn_face.landmarks)
    grey = np.full((256, 256, 3), 128, np.uint8)
    source = code + 1.0 / math.sqrt(128)  # at a distance of 1
    rows = seen(drawn_face, drawn_face.image, grey, source_codes=np.stack([source, source]))
    # hardly nearer or farther than the truth is: what differs are the landmarks found again
    assert abs(rows["leak"][0]) < rows["identity"][0] < 0.2
    assert math.isnan(rows["leak"][1])
    other = code + 1.0 / math.sqrt(128) * np.where(np.arange(128) % 2, 1, -1)
    stub = FaceBatch(drawn_face.image[None], points_of(drawn_face)[None])
    given = (drawn_face.image[None], stub, other[None], stub.points)
    row = measure(*given, source_codes=code[None]).iloc[0]
    # now the truth is somebody else, and the result shows the source
    assert row["leak"] == pytest.approx(1, abs=0.2)


def test_an_expression_is_recognised_or_not(drawn_face: Rendered) -> None:
    grey = np.full((256, 256, 3), 128, np.uint8)
    results = [drawn_face.image, drawn_face.image, grey]
    words = np.array(["as it is", "raised", "as it is"])
    classifier = toy_classifier(points_of(drawn_face))
    rows = seen(drawn_face, *results, classifier=classifier, words=words)
    assert rows["recognised"].to_list() == [1, 0, 0]
    assert rows["recognised_truth"].to_list() == [1, 0, 1]
