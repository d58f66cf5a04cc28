"""Splits: nothing to learn from is measured, whichever way the photos are split."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from expr_lib.errors import LeakySplit, SourceError, TooFewPeople
from expr_lib.faceset import FaceSet
from expr_lib.photos import photo_table
from expr_lib.samples import SOURCE, TARGET, TRUTH
from expr_lib.splits import FOLDS, PARTS, Split, refuse_leaks, split_people, split_photos


def _people(count: int) -> list[str]:
    return [f"{number:03}" for number in range(count)]


def _table(people: int, words: tuple[str, ...] = ("neutral", "happy", "sad")) -> pd.DataFrame:
    return photo_table(
        {"path": f"{person}{word}.png", "person": person, "expression": word}
        for person, word in product(_people(people), words)
    )


def _in(parts: dict[str, str], part: str) -> list[str]:
    return [person for person in parts if parts[person] == part]


@pytest.mark.parametrize("count", [10, 11, 48, 67, 102])
@pytest.mark.parametrize("fold", range(FOLDS))
def test_a_fifth_is_unseen_and_an_eighth_of_the_others_chooses(count: int, fold: int) -> None:
    parts = split_people(_people(count), fold)
    assert sorted(parts) == _people(count)
    test, validation = (_in(parts, part) for part in ("test", "validation"))
    assert abs(len(test) - count / 5) < 1
    assert abs(len(validation) - (count - len(test)) / 8) < 1 and validation


def test_the_folds_keep_everybody_unseen_once() -> None:
    unseen = [p for fold in range(FOLDS) for p in _in(split_people(_people(23), fold), "test")]
    assert sorted(unseen) == _people(23)


def test_the_split_does_not_depend_on_order_or_repetition() -> None:
    people = _people(20)
    shuffled = np.random.default_rng(0).permutation(people * 3).tolist()
    assert split_people(shuffled, 2) == split_people(people, 2)


@pytest.mark.parametrize(("count", "fold"), [(0, 0), (1, 0), (5, 0), (6, 1), (9, 4)])
def test_too_few_people_are_told_how_many_it_takes(count: int, fold: int) -> None:
    with pytest.raises(TooFewPeople) as caught:
        split_people(_people(count), fold)
    message = str(caught.value)
    assert message.startswith("1 person is" if count == 1 else f"{count} people are")
    needed = int(message.split("at least ")[1].split()[0])
    assert len(_in(split_people(_people(needed), fold), "test")) == 2
    assert _in(split_people(_people(needed), fold), "validation")
    with pytest.raises(TooFewPeople):
        split_people(_people(needed - 1), fold)


@pytest.mark.parametrize("how", ["people", "images"])
@pytest.mark.parametrize("fold", [0, 3])
def test_every_photo_is_in_one_part(how: str, fold: int) -> None:
    table = _table(20)
    split = split_photos(table, how, fold)
    rows = np.concatenate([split.train, split.validation, split.test])
    assert sorted(rows.tolist()) == list(range(len(table)))
    assert abs(len(split.test) - len(table) / 5) < 1
    names = [person for part in PARTS for person in split.people(part)]
    assert (len(names) == len(set(names))) == (how == "people") == split.by_people
    assert split.key == split_photos(table, how, fold).key
    assert split.key != split_photos(table, how, fold + 1).key


def test_one_or_two_validation_people_choose_nothing() -> None:
    assert [split_photos(_table(people)).can_choose for people in (6, 10, 30, 80)] == [
        False,
        False,
        True,
        True,
    ]


def test_split_by_people_a_test_sees_test_people_only() -> None:
    split = split_photos(_table(30))
    triples = split.pairs("test", 10_000, seed=0)
    assert np.isin(triples, split.test).all()
    chosen = split.pairs("validation", 10_000, seed=0)
    assert np.isin(chosen[:, [TARGET, TRUTH]], split.validation).all()
    assert not np.isin(chosen[:, SOURCE], split.test).any()
    assert np.isin(split.samples(0).draw(0, 100), split.train).all()
    assert np.isin(split.samples(0, "pairs").draw(0, 100), split.train).all()
    own = split.pairs("test", 10_000, 0, same_person=True)
    assert np.isin(own, split.test).all() and len(own) == 6 * 3 * 2


def test_split_by_photos_only_the_truth_is_unseen() -> None:
    split = split_photos(_table(30), "images")
    for part in ("test", "validation"):
        triples = split.pairs(part, 10_000, seed=0)
        own = split.test if part == "test" else split.validation
        assert np.isin(triples[:, TRUTH], own).all()
        assert np.isin(triples, [*split.train, *own]).all()
        assert np.isin(triples[:, TARGET], split.train).any(), "targets may be of those learnt from"
    assert np.isin(split.samples(0).draw(0, 100), split.train).all()


def test_a_split_is_written_as_a_file_that_splits_the_same_way(tmp_path: Path) -> None:
    table = _table(20)
    split = split_photos(table, fold=3)
    file = tmp_path / "split.csv"
    file.write_text(split.as_csv())
    again = split_photos(table, str(file), fold=0)
    assert again.key == split.key
    assert set(split_photos(table, "images").as_csv().splitlines()[1].split(",")) & set(PARTS)


def test_a_file_without_validation_people_gets_some(tmp_path: Path) -> None:
    table = _table(12)
    file = tmp_path / "mine.csv"
    parts = ["test"] * 3 + ["train"] * 9
    pd.DataFrame({"person": _people(12), "part": parts}).to_csv(file, index=False)
    split = split_photos(table, str(file))
    assert split.people("test") == tuple(_people(3))
    assert len(split.people("validation")) == 1


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("person,part\n000,train\n000,test\n", LeakySplit, "two parts, train and test"),
        ("person,part\n000,learn\n", SourceError, "'learn' of 000 is none of train"),
        ("name,part\n000,train\n", SourceError, "columns name, part"),
        ("", SourceError, "cannot be read"),
        ("person,part\n000,test\n001,test\n", SourceError, "no part to 4 of the people"),
        (
            "person,part\n" + "".join(f"{p},train\n" for p in _people(6)),
            TooFewPeople,
            "fewer than two test people",
        ),
    ],
)
def test_a_file_that_cannot_split_is_told(
    text: str, error: type[Exception], told: str, tmp_path: Path
) -> None:
    file = tmp_path / "split.csv"
    file.write_text(text)
    with pytest.raises(error, match=told):
        split_photos(_table(6), str(file))


def test_a_file_that_is_missing_is_told() -> None:
    with pytest.raises(SourceError, match="neither people nor images"):
        split_photos(_table(6), "peple")


def test_a_person_in_two_parts_is_refused() -> None:
    table = _table(3)
    parts = np.array(["train"] * 4 + ["test"] * 5)
    with pytest.raises(LeakySplit, match="person 001 is in 2 parts"):
        Split(table, parts)
    Split(table, parts, by_people=False)


def test_the_same_picture_in_two_parts_is_refused(small_faces: Path) -> None:
    faces = FaceSet.load(small_faces)
    split = split_photos(faces.table)
    refuse_leaks(faces, split)
    images = np.array(faces.images)
    images[split.test[0]] = images[split.train[0]]
    twice = FaceSet(faces.folder, images, faces.landmarks, faces.table, faces.card)  # type: ignore[arg-type]
    told = r"show the same picture, but they are in two parts, (train and test|test and train);"
    with pytest.raises(LeakySplit, match=told):
        refuse_leaks(twice, split)


def test_a_part_without_any_transfer_is_told() -> None:
    split = split_photos(_table(6, words=("happy",)))
    with pytest.raises(TooFewPeople, match="no two people of the test part"):
        split.pairs("test", 10, 0)
    assert split.pairs("test", 10, 0, same_person=True).shape == (0, 3)
