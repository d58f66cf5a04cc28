"""Made-up faces of eight landmarks, in which people and expressions are told apart exactly: people
differ in eyes and brows, expressions in the mouth."""

from collections.abc import Sequence

import numpy as np

from expr_lib.photos import photo_table
from expr_lib.points import Layout
from expr_lib.pointset import PointSet

TOY = Layout(
    count=8,
    mirror=(3, 2, 1, 0, 5, 4, 7, 6),
    eyes=((0, 1), (2, 3)),
    parts={"mouth": (6, 7), "brows": (4, 5), "eyes": (0, 1, 2, 3), "jaw": (0, 3)},
)
FACE = np.array(
    [(85, 100), (101, 100), (155, 100), (171, 100), (93, 80), (163, 80), (105, 180), (151, 180)]
)
WORDS = ("neutral", "happy", "sad", "surprised")
MOUTHS = np.array([[(0, 0), (0, 0)], [(-8, -5), (8, -5)], [(3, 6), (-3, 6)], [(5, 0), (-5, 0)]])


def toy_faces(
    people: int = 12, words: Sequence[str] = WORDS, gazes: Sequence[str] = ("frontal",)
) -> PointSet:
    """People p00, p01 and so on, with each expression and gaze; a gaze changes nothing."""
    rng = np.random.default_rng(0)
    own = rng.normal(0, 3, (people, 8, 2))
    own[:, 6:] = 0
    rows = [
        {"path": f"{p:02d}-{word}-{gaze}", "person": f"p{p:02d}", "expression": word, "gaze": gaze}
        for p in range(people)
        for word in words
        for gaze in gazes
    ]
    table = photo_table(rows)
    points = []
    for person, word in zip(table["person"], table["expression"], strict=True):
        face = FACE + own[int(person[1:])]
        face[6:] += MOUTHS[WORDS.index(word)]
        points.append(face / 256)
    return PointSet(np.array(points, np.float32), table, TOY)
