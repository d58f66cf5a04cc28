"""The (source, target, truth) triples that training and evaluation use."""

from collections.abc import Callable
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


def name_pairs(table: pd.DataFrame, triples: NDArray[np.int64]) -> pd.DataFrame:
    """What triples (M, 3) of a table's rows are: the rows of source, target and truth, the target's
    person, and the expression that it goes `from` and `to`."""
    source, target, truth = triples.T
    expressions = table["expression"].to_numpy()
    return pd.DataFrame(
        {
            "source": source,
            "target": target,
            "truth": truth,
            "person": table["person"].to_numpy()[target],
            "from": expressions[target],
            "to": expressions[source],
        }
    )


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
        wide = int(persons.max(initial=0)) + 1
        sorted_sources = np.sort(expressions[drivers] * wide + persons[drivers])
        own = expressions * wide + persons
        first = np.searchsorted(sorted_sources, own)
        self._own_count = np.searchsorted(sorted_sources, own, "right") - first
        self._own_start = first - np.searchsorted(sorted_sources, expressions * wide)
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
        epochs, places = np.divmod(positions, len(self))
        orders = {e: _shuffled(self.seed, e, len(self)) for e in set(epochs.tolist())}
        picked = [orders[e][p] for e, p in zip(epochs.tolist(), places, strict=True)]
        truth = self._usable[picked]
        rng = np.random.default_rng([self.seed, 1, step])
        codes = self._expression_of[truth]
        free = self._sources.count_of(codes) - self._own_count[truth]
        pick = rng.integers(0, free)
        pick += np.where(pick >= self._own_start[truth], self._own_count[truth], 0)
        source = self._sources.take(codes, pick)
        group = self._target_group[truth]
        target = self._targets.take(group, rng.integers(0, self._targets.count_of(group)))
        return np.stack([source, target, self._rows[truth]], axis=1)


@lru_cache(maxsize=8)
def _shuffled(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, 0, epoch]).permutation(count)


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
        self._pairs = _Pairs(table, rows, rows, rows, False, source_gaze)
        if len(self._pairs) == 0:
            raise TooFewPeople(NOTHING_TO_LEARN)

    def __len__(self) -> int:
        """Number of triples: one epoch."""
        return len(self._pairs)

    def draw(self, step: int, batch: int) -> np.ndarray:
        """The triples of one step, (batch, 3) int64: a pure function of (seed, step)."""
        epoch, place = np.divmod(step * batch + np.arange(batch), len(self))
        orders = {number: _ordering(self.seed, number, len(self)) for number in set(epoch.tolist())}
        picks = [orders[e](p) for e, p in zip(epoch.tolist(), place.tolist(), strict=True)]
        return self._pairs.take(np.array(picks))


_LISTED = 1 << 20
_ROUNDS = 6


def _ordering(seed: int, epoch: int, count: int) -> Callable[[int], int]:
    """The order in which an epoch takes `count` things: place -> which. Of more than _LISTED, too
    many to be listed, it is a Feistel network on the numbers up to the next power of 4."""
    if count <= _LISTED:
        return _shuffled(seed, epoch, count).item
    half = ((count - 1).bit_length() + 1) >> 1
    mask = (1 << half) - 1
    keys = np.random.default_rng([seed, 0, epoch]).integers(0, 1 << 63, _ROUNDS).tolist()

    def which(place: int) -> int:
        while True:  # a number beyond the last is put in again: on average fewer than 4 times
            left, right = place >> half, place & mask
            for key in keys:
                mixed = (right + key) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
                left, right = (
                    right,
                    left ^ ((mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9 >> 32 & mask),
                )
            place = left << half | right
            if place < count:
                return place

    return which


class _Pairs:
    """All triples that `evaluation_triples` speaks of, in their order, without a list of them.

    The targets of a source are those of its kind (expression, strength and camera) without the
    source's own person, whose few places among them are stepped over, or are the only ones taken.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        truths: NDArray[np.int64],
        sources: NDArray[np.int64],
        targets: NDArray[np.int64],
        same_person: bool,
        source_gaze: str,
    ) -> None:
        truths, sources, targets = np.sort(truths), np.sort(sources), np.sort(targets)
        self._same_person = same_person
        shown = table.assign(strength=strength_of(table))
        columns = (["person"], ["expression", "strength"], ["gaze"], ["yaw"])
        person, word, gaze, yaw = (_codes(shown, names) for names in columns)
        first = np.full([int(code.max(initial=-1)) + 1 for code in (person, word, gaze, yaw)], -1)
        for row in truths[::-1]:
            first[person[row], word[row], gaze[row], yaw[row]] = row
        self._drivers = sources[may_drive(table, source_gaze)[sources]]
        self._person = person
        self._kind = word * (int(yaw.max(initial=0)) + 1) + yaw
        self._fitting: dict[int, _Fitting] = {}
        counts = np.zeros(len(self._drivers), np.int64)
        kinds = self._kind[self._drivers]
        for kind in np.unique(kinds).tolist():
            here = np.flatnonzero(kinds == kind)
            one = self._drivers[here[0]]
            rows = targets[(yaw[targets] == yaw[one]) & (word[targets] != word[one])]
            right = first[person[rows], word[one], gaze[rows], yaw[rows]]
            rows, right = rows[right >= 0], right[right >= 0]
            self._fitting[kind] = fitting = _Fitting(rows, right, person[rows])
            own = fitting.count_of(person[self._drivers[here]])
            counts[here] = own if same_person else len(rows) - own
        self._ends = np.cumsum(counts)
        self._counts = counts

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def take(self, which: NDArray[np.int64]) -> NDArray[np.int64]:
        """Some of the triples by their numbers: (M, 3) rows of source, target and truth."""
        triples = np.empty((len(which), 3), np.int64)
        order = np.argsort(which, kind="stable")
        borders = np.searchsorted(which[order], np.concatenate([[0], self._ends]))
        for i in np.flatnonzero(np.diff(borders)):
            here = order[borders[i] : borders[i + 1]]
            driver = self._drivers[i]
            picks = which[here] - (self._ends[i] - self._counts[i])
            fitting = self._fitting[int(self._kind[driver])]
            own = fitting.places_of(self._person[driver])
            if self._same_person:
                picks = own[picks]
            else:
                picks = picks + np.searchsorted(own - np.arange(len(own)), picks, "right")
            triples[here, SOURCE] = driver
            triples[here, TARGET] = fitting.rows[picks]
            triples[here, TRUTH] = fitting.right[picks]
        return triples


class _Fitting:
    """The targets of one kind of source, with their truths, and each person's places among them."""

    def __init__(self, rows: np.ndarray, right: np.ndarray, persons: np.ndarray) -> None:
        self.rows, self.right = rows, right
        self._places = np.argsort(persons, kind="stable")
        self._persons = persons[self._places]

    def count_of(self, persons: np.ndarray) -> np.ndarray:
        ends = np.searchsorted(self._persons, persons, "right")
        return ends - np.searchsorted(self._persons, persons)

    def places_of(self, person: int) -> np.ndarray:
        start, end = np.searchsorted(self._persons, [person, person + 1])
        return self._places[start:end]


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
    sources = truths if sources is None else sources
    targets = truths if targets is None else targets
    pairs = _Pairs(table, truths, sources, targets, same_person, source_gaze)
    if limit is None or len(pairs) <= limit:
        return pairs.take(np.arange(len(pairs)))
    rng = np.random.default_rng([seed, 2])
    return pairs.take(np.sort(rng.choice(len(pairs), size=limit, replace=False)))
