"""The (source, target, truth) triples that training and evaluation use."""

from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from expr_lib.errors import TooFewPeople

SOURCE, TARGET, TRUTH = 0, 1, 2
"""Columns of an array of triples."""


NOTHING_TO_LEARN = (
    "no two training people show the same expression, so there is nothing to learn from; add "
    "people, or photos of the same expressions"
)


def strength_of(table: pd.DataFrame) -> NDArray[np.int64]:
    """Intensities of a photo table's rows (N,) in tenths: two photos show an expression as strongly
    when these are equal, since frames of sequences of different lengths never agree exactly."""
    return np.rint(table["intensity"].to_numpy() * 10).astype(np.int64)


def may_drive(table: pd.DataFrame, source_gaze: str) -> NDArray[np.bool_]:
    """Whether each photo (N,) may be a source: its gaze is frontal, or `source_gaze` is any."""
    return (table["gaze"].to_numpy() == "frontal") | (source_gaze == "any")


class TransferSamples:
    """Triples (source, target, truth) among some photos of a table, as choice [14] says.

    A photo can be a truth when another person shows the same expression, as strongly, with a
    frontal gaze (any gaze, if `source_gaze` is any) to the same camera. Indices are rows of the
    table.

    rows    (M,) rows to choose from
    raises  TooFewPeople when no two people show the same expression
    """

    def __init__(
        self, table: pd.DataFrame, rows: NDArray[np.int64], seed: int, source_gaze: str = "frontal"
    ) -> None:
        self.seed = seed
        rows = np.sort(rows)
        chosen = table.iloc[rows]
        self._targets = _Groups(rows, _codes(chosen, ["person", "gaze", "yaw"]))
        drivers = may_drive(chosen, source_gaze)
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
            raise TooFewPeople(NOTHING_TO_LEARN)

    def __len__(self) -> int:
        """Number of photos that can be a truth: one epoch."""
        return len(self._usable)

    @property
    def rows(self) -> np.ndarray:
        """Rows of the table that are chosen from, sorted."""
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


@lru_cache(maxsize=8)
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


class PairSamples:
    """The other reading of an epoch [14]: every triple of `evaluation_triples` among some photos
    once, in a seeded order.

    rows    (M,) rows to choose from
    raises  TooFewPeople when there is no such triple
    """

    def __init__(
        self, table: pd.DataFrame, rows: NDArray[np.int64], seed: int, source_gaze: str = "frontal"
    ) -> None:
        self.seed = seed
        self.rows = np.sort(rows)
        self._triples = evaluation_triples(table, rows, source_gaze=source_gaze)
        if len(self._triples) == 0:
            raise TooFewPeople(NOTHING_TO_LEARN)
        self._all = np.arange(len(self._triples)).tobytes()

    def __len__(self) -> int:
        """Number of triples: one epoch."""
        return len(self._triples)

    def draw(self, step: int, batch: int) -> np.ndarray:
        """The triples of one step, (batch, 3) int64: a pure function of (seed, step)."""
        epoch, place = np.divmod(step * batch + np.arange(batch), len(self))
        orders = {number: _shuffled(self.seed, number, self._all) for number in set(epoch.tolist())}
        return self._triples[[orders[e][p] for e, p in zip(epoch.tolist(), place, strict=True)]]


def evaluation_triples(
    table: pd.DataFrame,
    truths: NDArray[np.int64],
    limit: int | None = None,
    seed: int = 0,
    *,
    sources: NDArray[np.int64] | None = None,
    targets: NDArray[np.int64] | None = None,
    same_person: bool = False,
    source_gaze: str = "frontal",
) -> np.ndarray:
    """All pairs (source, target) of different people that have a truth, or a seeded choice of them
    [21].

    The source looks ahead, or anywhere if `source_gaze` is any [17]. The truth is the first photo
    of the target's person with the source's expression, as strong, and the target's gaze and
    camera. Pairs whose target shows the wanted expression already are left out: copying would be
    perfect there.
    table             photo table or faces.csv
    truths            (N,) rows that a truth may be
    sources, targets  rows that these may be; the same by default
    limit             number of triples at most
    same_person       True pairs people with themselves instead
    returns           (M, 3) int64 rows of source, target and truth, in their order; (0, 3) when
                      there is no such pair
    """
    truths = np.sort(truths)
    sources = truths if sources is None else np.sort(sources)
    targets = truths if targets is None else np.sort(targets)
    shown = table.assign(strength=strength_of(table))
    person, word, gaze, yaw = (
        _codes(shown, columns)
        for columns in (["person"], ["expression", "strength"], ["gaze"], ["yaw"])
    )
    first = np.full([int(code.max(initial=-1)) + 1 for code in (person, word, gaze, yaw)], -1)
    for row in truths[::-1]:
        first[person[row], word[row], gaze[row], yaw[row]] = row

    def pairs_of(source: int) -> tuple[np.ndarray, np.ndarray]:
        fits = (person[targets] == person[source]) == same_person
        fits &= (yaw[targets] == yaw[source]) & (word[targets] != word[source])
        rows = targets[fits]
        right = first[person[rows], word[source], gaze[rows], yaw[rows]]
        return rows[right >= 0], right[right >= 0]

    drivers = sources[may_drive(table, source_gaze)[sources]]
    counts = np.array([len(pairs_of(source)[0]) for source in drivers], dtype=np.int64)
    chosen = np.arange(counts.sum())
    if limit is not None and len(chosen) > limit:
        rng = np.random.default_rng([seed, 2])
        chosen = np.sort(rng.choice(len(chosen), size=limit, replace=False))
    ends = np.cumsum(counts)
    borders = np.searchsorted(chosen, np.concatenate([[0], ends]))
    triples = [np.empty((0, 3), dtype=np.int64)]
    for i in np.flatnonzero(np.diff(borders)):
        picks = chosen[borders[i] : borders[i + 1]] - (ends[i] - counts[i])
        rows, right = (found[picks] for found in pairs_of(drivers[i]))
        triples.append(np.stack([np.full(len(rows), drivers[i]), rows, right], axis=1))
    return np.concatenate(triples)
