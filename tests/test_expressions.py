"""Telling expressions from landmarks, on faces whose lips and brows are moved by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from expr_lib.expressions import NO_FACE, ExpressionClassifier
from expr_lib.points import IBUG68

if TYPE_CHECKING:
    from expr_lib.sources.synthetic import Rendered

CORNERS, BROWS = [48, 54, 60, 64], list(IBUG68.parts["brows"])
MOVES = {"neutral": (0.0, 0.0), "happy": (-0.03, 0.0), "surprised": (0.0, -0.04)}


@pytest.fixture(scope="module")
def face(drawn_face: Rendered) -> np.ndarray:
    return (drawn_face.landmarks + 0.5) / drawn_face.image.shape[0]


def some_faces(
    face: np.ndarray, counts: dict[str, int], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Faces of different people: what an expression moves, and noise of half its size."""
    rng = np.random.default_rng(seed)
    words = np.repeat(list(counts), list(counts.values()))
    points = face + rng.normal(scale=0.015, size=(len(words), 68, 2))
    for each, word in zip(points, words, strict=True):
        corners, brows = MOVES[word]
        each[CORNERS, 1] += corners
        each[BROWS, 1] += brows
    return points, words


def turned(points: np.ndarray, degrees: float, scale: float, shift: float) -> np.ndarray:
    angle = math.radians(degrees)
    turn = [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    return scale * points @ np.array(turn) + shift


def test_faces_of_other_people_are_recognised(face: np.ndarray) -> None:
    classifier = ExpressionClassifier.fit(*some_faces(face, dict.fromkeys(MOVES, 60), 0))
    points, words = some_faces(face, dict.fromkeys(MOVES, 40), 1)
    found = classifier.recognise(points)
    assert (found == words).mean() > 0.9
    np.random.default_rng(0).shuffle(words)
    assert (found == words).mean() < 0.6


def test_place_size_and_roll_do_not_matter(face: np.ndarray) -> None:
    classifier = ExpressionClassifier.fit(*some_faces(face, dict.fromkeys(MOVES, 20), 0))
    points, _ = some_faces(face, dict.fromkeys(MOVES, 20), 1)
    before = classifier.recognise(points)
    assert set(before) == set(MOVES)
    np.testing.assert_array_equal(classifier.recognise(turned(points, 12, 0.7, 0.3)), before)


def test_where_there_is_no_face_nothing_is_recognised(face: np.ndarray) -> None:
    classifier = ExpressionClassifier.fit(*some_faces(face, dict.fromkeys(MOVES, 20), 0))
    points, _ = some_faces(face, {"happy": 3}, 1)
    alone = classifier.recognise(points[2:])
    points[1] = math.nan
    found = classifier.recognise(points)
    assert found[1] == NO_FACE and NO_FACE not in found[[0, 2]]
    assert found[2] == alone[0]
    assert classifier.recognise(points[1:2]).tolist() == [NO_FACE]
    assert len(classifier.recognise(points[:0])) == 0


def test_a_rare_expression_is_as_likely_as_a_frequent_one(face: np.ndarray) -> None:
    classifier = ExpressionClassifier.fit(*some_faces(face, {"neutral": 1200, "happy": 120}, 0))
    between, _ = some_faces(face, {"neutral": 400}, 1)
    between[:, CORNERS, 1] += MOVES["happy"][0] / 2  # half way: either as often
    assert 0.35 < (classifier.recognise(between) == "happy").mean() < 0.65  # else 0.25


@pytest.mark.parametrize("counts", [{}, {"happy": 5}, {"happy": 1, "neutral": 1}])
def test_too_little_to_learn_from_is_told(face: np.ndarray, counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="cannot teach to tell expressions apart"):
        ExpressionClassifier.fit(*some_faces(face, counts, 0))
