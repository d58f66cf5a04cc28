"""Who is seen and who is not, and the (source, target, truth) triples that training and evaluation
use."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from expr_lib.errors import TooFewPeople

FOLDS = 5
SOURCE, TARGET, TRUTH = 0, 1, 2
"""Columns of an array of triples."""


def strength_of(table: pd.DataFrame) -> NDArray[np.int64]:
    """Intensities of a photo table's rows (N,) in tenths: two photos show an expression as strongly
    when these are equal, since frames of sequences of different lengths never agree exactly."""
    return np.rint(table["intensity"].to_numpy() * 10).astype(np.int64)


@dataclass(frozen=True)
class Split:
    """People to learn from and people to be measured on; no one is in both [8]."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def split_people(people: Sequence[str], fold: int = 0) -> Split:
    """Split by people 8:2: of the sorted people every fifth, starting at `fold` (0..4), is kept
    unseen.

    raises  TooFewPeople when fewer than two would be unseen
    """
    ordered = sorted(set(people))
    test = tuple(ordered[fold::FOLDS])
    if len(test) < 2:
        raise TooFewPeople(
            f"{len(ordered)} {'person is' if len(ordered) == 1 else 'people are'} too few to keep "
            f"two of them unseen: with fold {fold} at least {FOLDS + fold + 1} people are needed"
        )
    return Split(tuple(p for p in ordered if p not in set(test)), test)


class TransferSamples:
    """Triples (source, target, truth) among some people of a photo table, drawn as the ledger's
    row 14 says.

    A photo can be a truth when another person shows the same expression, as strongly, with a
    frontal gaze to the same camera. Indices are rows of the table.
    """

    def __init__(self, table: pd.DataFrame, people: Sequence[str], seed: int) -> None:
        self.seed = seed
        rows = np.flatnonzero(table["person"].isin(set(people)).to_numpy())
        chosen = table.iloc[rows]
        self._targets = _Groups(rows, _codes(chosen, ["person", "gaze", "yaw"]))
        drivers = chosen["gaze"].to_numpy() == "frontal"
        shown = chosen.assign(strength=strength_of(chosen))
        expressions = _codes(shown, ["expression", "strength", "yaw"])
        persons = _codes(chosen, ["person"])
        order = np.argsort(persons[drivers], kind="stable")
        self._sources = _Groups(rows[drivers][order], expressions[drivers][order])
        # of each expression's sources, sorted by person, one's own block is stepped over
        self._own_start = np.zeros(len(rows), dtype=np.int64)
        self._own_count = np.zeros(len(rows), dtype=np.int64)
        driver_person = dict(zip(rows[drivers].tolist(), persons[drivers].tolist(), strict=True))
        for code in np.unique(expressions):
            members = [driver_person[row] for row in self._sources.members(code).tolist()]
            for i in np.flatnonzero(expressions == code):
                own = persons[i]
                self._own_start[i] = np.searchsorted(members, own, "left")
                self._own_count[i] = np.searchsorted(members, own, "right") - self._own_start[i]
        self._expression_of = expressions
        self._target_group = self._targets.codes
        others = self._sources.count_of(expressions) - self._own_count
        self._rows = rows
        self._usable = np.flatnonzero(others > 0)
        if len(self._usable) == 0:
            raise TooFewPeople(
                "no two training people show the same expression, so there is nothing to learn "
                "from; add people, or photos of the same expressions"
            )

    def __len__(self) -> int:
        """Number of photos that can be a truth: one epoch."""
        return len(self._usable)

    @property
    def rows(self) -> np.ndarray:
        """Rows of the table that belong to these people, sorted."""
        return self._rows

    def draw(self, step: int, batch: int) -> np.ndarray:
        """The triples of one step: a pure function of (seed, step), each photo once as truth in an
        epoch.

        returns  (batch, 3) int64: rows of source, target and truth
        """
        positions = step * batch + np.arange(batch)
        truth = np.array([self._order(p // len(self))[p % len(self)] for p in positions.tolist()])
        rng = np.random.default_rng([self.seed, 1, step])
        codes = self._expression_of[truth]
        free = self._sources.count_of(codes) - self._own_count[truth]
        pick = rng.integers(0, free)
        pick += np.where(pick >= self._own_start[truth], self._own_count[truth], 0)
        source = self._sources.take(codes, pick)
        group = self._target_group[truth]
        target = self._targets.take(group, rng.integers(0, self._targets.count_of(group)))
        return np.stack([source, target, self._rows[truth]], axis=1)

    def _order(self, epoch: int) -> np.ndarray:
        return _shuffled(self.seed, epoch, self._usable.tobytes())


@lru_cache(maxsize=4)
def _shuffled(seed: int, epoch: int, usable: bytes) -> np.ndarray:
    return np.random.default_rng([seed, 0, epoch]).permutation(np.frombuffer(usable, np.int64))


def _codes(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """One whole number a row, equal where the columns are equal, in sorted order."""
    return table.groupby(columns, sort=True).ngroup().to_numpy()


class _Groups:
    """Rows gathered by a code, any group's n-th row in constant time."""

    def __init__(self, rows: np.ndarray, codes: np.ndarray) -> None:
        self.codes = codes
        order = np.argsort(codes, kind="stable")
        self._sorted = rows[order]
        size = int(codes.max()) + 1 if len(codes) else 1
        self._count = np.bincount(codes, minlength=size)
        self._start = np.concatenate([[0], np.cumsum(self._count)])

    def count_of(self, codes: np.ndarray) -> np.ndarray:
        known = codes < len(self._count)
        return np.where(known, self._count[np.where(known, codes, 0)], 0)

    def take(self, codes: np.ndarray, pick: np.ndarray) -> np.ndarray:
        return self._sorted[self._start[codes] + pick]

    def members(self, code: int) -> np.ndarray:
        if code >= len(self._count):
            return self._sorted[:0]
        return self._sorted[self._start[code] : self._start[code + 1]]


def evaluation_triples(
    table: pd.DataFrame, people: Sequence[str], limit: int, seed: int
) -> np.ndarray:
    """All pairs (source, target) of different people that have a truth, or a seeded choice of them
    [21].

    The truth is the target's person with the source's expression, as strong, and the target's gaze
    and camera. Pairs whose truth is the target photo itself are left out: copying would be perfect
    there.
    table    photo table or faces.csv
    limit    number of triples at most
    returns  (M, 3) int64 rows of source, target and truth
    raises   TooFewPeople when there is no such pair
    """
    table = table.reset_index(drop=True)
    chosen = table[table["person"].isin(set(people))]
    truths: dict[tuple[str, tuple[str, int], str, float], int] = {}
    shown = list(zip(chosen["expression"], strength_of(chosen), strict=True))
    who_and_how = (chosen["person"], shown, chosen["gaze"], chosen["yaw"])
    records = list(zip(chosen.index.tolist(), *who_and_how, strict=True))
    for row, *key in records:
        truths.setdefault(tuple(key), row)
    triples = [
        (source[0], target[0], truth)
        for source in records
        if source[3] == "frontal"
        for target in records
        if target[1] != source[1] and target[4] == source[4]
        if (truth := truths.get((target[1], source[2], target[3], target[4]))) is not None
        if target[2] != source[2]
    ]
    if not triples:
        raise TooFewPeople(
            "no two unseen people show two expressions in common, so no transfer can be measured; "
            "add people or photos"
        )
    array = np.array(triples, dtype=np.int64)
    if len(array) > limit:
        keep = np.random.default_rng([seed, 2]).choice(len(array), size=limit, replace=False)
        array = array[np.sort(keep)]
    return array
