"""Landmarks without photos, and finding the photo that is as wanted."""

import numpy as np
import pandas as pd
import pytest

from expr_lib.pointset import PointSet, find_photos, points_of
from toy_points import TOY, toy_faces


def test_the_first_photo_that_is_as_wanted_is_found() -> None:
    faces = toy_faces(3, ("neutral", "happy"), ("frontal", "left"))
    wanted = pd.DataFrame(
        {"person": ["p02", "p00", "p09", "p02"], "expression": ["happy", "sad", "happy", "neutral"]}
    )
    found = find_photos(faces.table, wanted)
    assert list(found[[1, 2]]) == [-1, -1]
    for row, person, word in ((found[0], "p02", "happy"), (found[3], "p02", "neutral")):
        photo = faces.table.iloc[row]
        assert (photo["person"], photo["expression"], photo["gaze"]) == (person, word, "frontal")


def test_what_is_not_there_has_no_landmarks() -> None:
    faces = toy_faces(3)
    points = points_of(faces, pd.DataFrame({"path": ["01-sad-frontal", "none"]}))
    row = list(faces.table["path"]).index("01-sad-frontal")
    assert (points[0] == faces.landmarks[row]).all()
    assert np.isnan(points[1]).all()


def test_landmarks_of_another_numbering_are_refused() -> None:
    faces = toy_faces(3)
    with pytest.raises(ValueError, match=r"\(12, 68, 2\), not \(12, 8, 2\)"):
        PointSet(faces.landmarks, faces.table)


def test_other_landmarks_have_another_key() -> None:
    faces = toy_faces(3)
    moved = PointSet(faces.landmarks + np.float32(0.01), faces.table, TOY)
    assert faces.key == toy_faces(3).key != moved.key
