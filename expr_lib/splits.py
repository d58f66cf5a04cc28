"""Who may be seen: the photos to learn from, to choose by, and to be measured on [8]."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from expr_lib.errors import LeakySplit, SourceError, TooFewPeople
from expr_lib.faceset import FaceSet
from expr_lib.files import digest
from expr_lib.samples import PairSamples, TransferSamples, evaluation_triples

FOLDS = 5
_HELD_BACK = 8
"""One in so many of those to learn from is held back to choose by."""
_FIRST_HELD_BACK = 3
_FEWEST_TO_CHOOSE = 3
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Each photo of a table in one of three parts: `train` to learn from, `validation` to choose
    by (checkpoints, settings), `test` to be measured on.

    table      photo table or faces.csv, N rows
    parts      (N,) the part of each row
    by_people  whether nobody is in two parts; otherwise no photo is, which is optimistic
    gaze       which gaze a source has [17]: frontal or any
    """

    table: pd.DataFrame
    parts: NDArray[np.str_]
    by_people: bool = True
    gaze: str = "frontal"

    def __post_init__(self) -> None:
        """Raise LeakySplit for a person in two parts of a split by people."""
        if self.by_people:
            parts = pd.Series(self.parts).groupby(self.table["person"].to_numpy()).nunique()
            for person in parts.index[parts > 1]:
                raise LeakySplit(
                    f"person {person} is in {parts[person]} parts of a split by people"
                )

    def _rows(self, *parts: Part) -> NDArray[np.int64]:
        return np.flatnonzero(np.isin(self.parts, parts))

    @property
    def train(self) -> NDArray[np.int64]:
        """Rows to learn from."""
        return self._rows("train")

    @property
    def validation(self) -> NDArray[np.int64]:
        """Rows to choose by."""
        return self._rows("validation")

    @property
    def test(self) -> NDArray[np.int64]:
        """Rows to be measured on."""
        return self._rows("test")

    def people(self, part: Part) -> tuple[str, ...]:
        """The people who have photos in a part, sorted."""
        return tuple(sorted(self.table["person"].iloc[self._rows(part)].unique()))

    @property
    def can_choose(self) -> bool:
        """Whether the validation people are enough to choose by: that of one or two is chance."""
        return len(self.people("validation")) >= _FEWEST_TO_CHOOSE

    @property
    def key(self) -> str:
        """Hash of who is where."""
        return digest([self.by_people, self.parts.tolist()])

    def samples(self, seed: int, epoch: str = "truths") -> TransferSamples | PairSamples:
        """Triples to learn from. Raises TooFewPeople.

        epoch  what one epoch is [14]: truths, each photo once as truth; or pairs, each ordered
               pair that has a truth
        """
        reading = PairSamples if epoch == "pairs" else TransferSamples
        return reading(self.table, self.train, seed, self.gaze)

    def pairs(
        self, part: Part, limit: int, seed: int, same_person: bool = False
    ) -> NDArray[np.int64]:
        """Triples to measure on, see `evaluation_triples`: the truth is of this part.

        In the test of a split by people the source is of this part too, elsewhere it may be one to
        learn from; so may the target be in a split by photos.
        raises  TooFewPeople when there is none; but people may have no pair with themselves
        """
        own, more = self._rows(part), self._rows("train", part)
        triples = evaluation_triples(
            self.table,
            own,
            limit,
            seed,
            sources=own if self.by_people and part == "test" else more,
            targets=own if self.by_people else more,
            same_person=same_person,
            source_gaze=self.gaze,
        )
        if len(triples) == 0 and not same_person:
            raise TooFewPeople(
                f"no two people of the {part} part show two expressions in common, so no transfer "
                "can be measured; add people or photos"
            )
        return triples

    def as_csv(self) -> str:
        """Who is where, as text: person and part, which `split=FILE` reads again; or path, person
        and part of each photo."""
        columns = ["person"] if self.by_people else ["path", "person"]
        told = self.table[columns].assign(part=self.parts)
        return told.drop_duplicates().sort_values(columns).to_csv(index=False)


def split_people(people: Iterable[str], fold: int = 0) -> dict[str, Part]:
    """Split people 8:2: of the sorted ones every fifth, starting at `fold` (0..4), is a test
    person, and of the others every eighth a validation person.

    raises  TooFewPeople when fewer than two would be test people
    """
    ordered = sorted(set(people))
    if len(ordered) < FOLDS + fold + 1:
        raise TooFewPeople(
            f"{len(ordered)} {'person is' if len(ordered) == 1 else 'people are'} too few to keep "
            f"two of them unseen: with fold {fold} at least {FOLDS + fold + 1} people are needed"
        )
    return _in_parts(ordered, ordered[fold::FOLDS])


def _in_parts(ordered: Sequence[str], test: Sequence[str]) -> dict[str, Part]:
    parts: dict[str, Part] = dict.fromkeys(ordered, "train")
    parts |= dict.fromkeys(test, "test")
    learning = [name for name in ordered if parts[name] == "train"]
    return parts | dict.fromkeys(learning[_FIRST_HELD_BACK::_HELD_BACK], "validation")


def split_photos(
    table: pd.DataFrame, how: str = "people", fold: int = 0, source_gaze: str = "frontal"
) -> Split:
    """Split a photo table.

    how     people; images, photos 8:2 in a seeded order, whoever they show (optimistic); or the
            path of a CSV file with the columns person and part
    fold    0..4: which fifth is the test part; a file does not depend on it
    raises  TooFewPeople, SourceError (a file that cannot be used), LeakySplit
    """
    if how == "images":
        split_people(table["person"], fold)  # the same number of people is needed
        order = np.random.default_rng(0).permutation(len(table)).tolist()
        shuffled = [str(place) for place in order]
        by_photo = _in_parts(shuffled, shuffled[fold::FOLDS])
        parts = [by_photo[str(row)] for row in range(len(table))]
        return Split(table, np.array(parts), by_people=False, gaze=source_gaze)
    known = split_people(table["person"], fold) if how == "people" else _read_people(Path(how))
    people = table["person"]
    if strangers := sorted(set(people) - set(known)):
        raise SourceError(
            f"{how} gives no part to {len(strangers)} of the people, such as {strangers[0]}; add "
            "them, or leave out their photos"
        )
    split = Split(table, np.array([known[person] for person in people]), gaze=source_gaze)
    if len(split.people("test")) < 2:
        raise TooFewPeople(f"{how} names fewer than two test people of this set")
    return split


def _read_people(path: Path) -> dict[str, Part]:
    """Read each person's part from a CSV file; without validation people some of those to learn
    from are held back."""
    if not path.is_file():
        raise SourceError(f"split {path} is neither people nor images, and there is no such file")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read as a CSV file ({error})") from None
    if not {"person", "part"} <= set(table.columns):
        raise SourceError(
            f"{path} has the columns {', '.join(table.columns)}; a split has person and part"
        )
    parts: dict[str, Part] = {}
    for person, told in zip(table["person"], table["part"], strict=True):
        part = next((known for known in PARTS if known == told), None)
        if part is None:
            raise SourceError(f"{path}: part {told!r} of {person} is none of {', '.join(PARTS)}")
        if parts.setdefault(person, part) != part:
            raise LeakySplit(f"{path}: person {person} is in two parts, {parts[person]} and {part}")
    if "validation" not in parts.values():
        test = [person for person in sorted(parts) if parts[person] == "test"]
        parts = _in_parts(sorted(parts), test)
    return parts


def refuse_leaks(faces: FaceSet, split: Split) -> None:
    """See that no picture is in two parts, under whatever name. Raises LeakySplit."""
    seen: dict[bytes, int] = {}
    for row, image in enumerate(faces.images):
        other = seen.setdefault(hashlib.blake2b(image.tobytes(), digest_size=16).digest(), row)
        if split.parts[other] != split.parts[row]:
            names = " and ".join(str(faces.table["path"].iloc[i]) for i in (other, row))
            told = " and ".join((split.parts[other], split.parts[row]))
            raise LeakySplit(
                f"{names} show the same picture, but they are in two parts, {told}; keep one of "
                "them, or give both to the same person"
            )
