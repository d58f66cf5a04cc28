"""Triples to learn from and to be measured on: each means what it says."""

import tracemalloc
from collections import Counter
from collections.abc import Iterable
from itertools import product

import numpy as np
import pandas as pd
import pytest

from expr_lib import samples as samples_module
from expr_lib.errors import TooFewPeople
from expr_lib.photos import EXPRESSIONS, photo_table
from expr_lib.samples import SOURCE, TRUTH, PairSamples, TransferSamples, evaluation_triples
from expr_lib.splits import split_photos


def _people(count: int) -> list[str]:
    return [f"{number:03}" for number in range(count)]


def _rows(table: pd.DataFrame, people: Iterable[str]) -> np.ndarray:
    return np.flatnonzero(table["person"].isin(set(people)))


def _table(
    people: int = 6,
    expressions: tuple[str, ...] = ("neutral", "happy", "sad"),
    gazes: tuple[str, ...] = ("frontal",),
    yaws: tuple[float, ...] = (0.0,),
    keep: float = 1.0,
    seed: int = 0,
) -> pd.DataFrame:
    """One photo of everybody in every condition; `keep` is the share of photos that exist."""
    rng = np.random.default_rng(seed)
    rows = [
        {"path": f"{n}.png", "person": p, "expression": e, "gaze": g, "yaw": y}
        for n, (p, e, g, y) in enumerate(product(_people(people), expressions, gazes, yaws))
        if rng.random() < keep
    ]
    return photo_table(rows)


RICH = {
    "people": 7,
    "expressions": ("neutral", "happy", "sad", "angry"),
    "gazes": ("frontal", "left", "right"),
    "yaws": (-45.0, 0.0),
}
TABLES = [
    pytest.param(_table(**(RICH | {"keep": keep, "seed": seed})), id=f"{keep}-{seed}")
    for keep in (0.15, 0.4, 0.8)
    for seed in range(3)
]


def _photos(table: pd.DataFrame, rows: np.ndarray) -> list[tuple[pd.Series, ...]]:
    return [tuple(table.loc[row] for row in triple) for triple in rows.tolist()]


def _sources_of(table: pd.DataFrame, people: list[str], truth: int) -> set[int]:
    """The rows that may lend their expression to a truth, by the ledger's row 14."""
    t = table.loc[truth]
    found = (
        table["person"].isin(people)
        & (table["person"] != t["person"])
        & (table["expression"] == t["expression"])
        & (table["yaw"] == t["yaw"])
        & (table["gaze"] == "frontal")
    )
    return set(table.index[found].tolist())


# --- triples to learn from


@pytest.mark.parametrize("table", TABLES)
def test_every_triple_is_what_it_says(table) -> None:
    people = _people(7)[1:6]  # two people are unseen
    samples = TransferSamples(table, _rows(table, people), seed=3)
    drawn = np.concatenate([samples.draw(step, 16) for step in range(20)])
    assert drawn.shape == (320, 3)
    assert drawn.dtype == np.int64
    for source, target, truth in _photos(table, drawn):
        assert {source["person"], target["person"]} <= set(people)
        assert source["person"] != truth["person"]
        assert source["expression"] == truth["expression"]
        assert source["gaze"] == "frontal"
        assert target["person"] == truth["person"]
        assert target["gaze"] == truth["gaze"]
        assert source["yaw"] == target["yaw"] == truth["yaw"]


@pytest.mark.parametrize("table", TABLES)
def test_an_epoch_is_each_usable_photo_once_as_truth(table) -> None:
    people = _people(7)[1:6]
    samples = TransferSamples(table, _rows(table, people), seed=1)
    mine = table.index[table["person"].isin(people)].tolist()
    assert samples.rows.tolist() == mine
    usable = {row for row in mine if _sources_of(table, people, row)}
    assert len(samples) == len(usable)
    batch = 7  # which does not divide an epoch
    steps = -(-3 * len(samples) // batch)
    truths = np.concatenate([samples.draw(step, batch)[:, 2] for step in range(steps)])
    for epoch in range(3):
        once = truths[epoch * len(samples) : (epoch + 1) * len(samples)]
        assert sorted(once.tolist()) == sorted(usable)
    first, second = truths[: len(samples)], truths[len(samples) : 2 * len(samples)]
    assert first.tolist() != second.tolist()  # in another order


def test_every_source_and_every_target_has_its_turn() -> None:
    table = _table(**(RICH | {"keep": 0.3, "people": 5}))
    people = _people(5)
    samples = TransferSamples(table, _rows(table, people), seed=0)
    drawn = np.concatenate([samples.draw(step, len(samples)) for step in range(150)])
    sources: dict[int, Counter[int]] = {}
    targets: dict[int, Counter[int]] = {}
    for source, target, truth in drawn.tolist():
        sources.setdefault(truth, Counter())[source] += 1
        targets.setdefault(truth, Counter())[target] += 1
    for truth, counted in sources.items():
        assert set(counted) == _sources_of(table, people, truth)
        fair = 150 / len(counted)
        assert all(abs(count - fair) < 6 * fair**0.5 for count in counted.values())
    for truth, counted in targets.items():
        t = table.loc[truth]
        alike = (table[["person", "gaze", "yaw"]] == t[["person", "gaze", "yaw"]]).all(axis=1)
        assert set(counted) == set(table.index[alike].tolist())


def test_a_step_is_a_pure_function_of_seed_and_number() -> None:
    table = _table(**RICH)
    samples = TransferSamples(table, _rows(table, _people(7)), seed=5)
    in_order = [samples.draw(step, 8) for step in range(30)]
    again = TransferSamples(table, _rows(table, _people(7)[::-1]), seed=5)
    for step in (29, 3, 17, 3):
        assert (again.draw(step, 8) == in_order[step]).all()
    other = TransferSamples(table, _rows(table, _people(7)), seed=6)
    assert any((other.draw(step, 8) != in_order[step]).any() for step in range(3))
    assert len({step.tobytes() for step in in_order}) == 30


def test_two_sets_of_people_do_not_share_an_order() -> None:
    table = _table(people=8)
    first = TransferSamples(table, _rows(table, _people(8)[:4]), seed=0)
    second = TransferSamples(table, _rows(table, _people(8)[4:]), seed=0)
    for samples, people in ((first, _people(8)[:4]), (second, _people(8)[4:])):
        rows = samples.draw(0, 12)
        assert set(table.loc[rows.flatten(), "person"]) <= set(people)


def test_nothing_to_learn_is_told() -> None:
    alone = _table(people=1)
    nothing_shared = photo_table(
        {"path": f"{p}{e}", "person": p, "expression": e}
        for p, e in (("a", "happy"), ("b", "sad"), ("c", "neutral"))
    )
    nobody_frontal = _table(gazes=("left", "right"))
    other_cameras = photo_table(
        {"path": p, "person": p, "expression": "happy", "yaw": yaw}
        for p, yaw in (("a", 0.0), ("b", 45.0))
    )
    for table in (alone, nothing_shared, nobody_frontal, other_cameras):
        with pytest.raises(TooFewPeople, match="no two training people"):
            TransferSamples(table, _rows(table, sorted(set(table["person"]))), seed=0)
    with pytest.raises(TooFewPeople, match="no two training people"):
        TransferSamples(_table(), np.array([], dtype=np.int64), seed=0)


# --- triples to be measured on


def _all_triples(table: pd.DataFrame, people: list[str]) -> set[tuple[int, int, int]]:
    """By trying every three photos."""
    photos = table[table["person"].isin(people)].to_dict("index")
    return {
        (s, t, o)
        for (s, source), (t, target), (o, truth) in product(photos.items(), repeat=3)
        if source["person"] != target["person"]
        and source["gaze"] == "frontal"
        and source["yaw"] == target["yaw"] == truth["yaw"]
        and truth["person"] == target["person"]
        and truth["gaze"] == target["gaze"]
        and truth["expression"] == source["expression"]
        and truth["expression"] != target["expression"]
    }


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("seed", range(2))
def test_evaluation_takes_every_pair_that_has_a_truth(keep, seed) -> None:
    table = _table(**(RICH | {"people": 5, "keep": keep, "seed": seed}))
    people = _people(5)[1:]
    triples = evaluation_triples(table, _rows(table, people))
    assert triples.dtype == np.int64
    as_set = {tuple(triple) for triple in triples.tolist()}
    assert len(as_set) == len(triples)
    assert as_set == _all_triples(table, people)
    assert (triples[:, 1] != triples[:, 2]).all()


def test_a_small_table_by_hand() -> None:
    """2 people, 3 expressions: 2 ways x 3 source expressions x 2 targets that show another one."""
    triples = evaluation_triples(_table(people=2), np.arange(6), limit=100, seed=0)
    assert len(triples) == 12


def test_a_limit_is_a_seeded_choice() -> None:
    table = _table(people=4)
    rows = np.arange(len(table))
    everything = {tuple(t) for t in evaluation_triples(table, rows).tolist()}
    few = evaluation_triples(table, rows, limit=20, seed=0)
    assert len(few) == 20
    assert len({tuple(t) for t in few.tolist()}) == 20
    assert {tuple(t) for t in few.tolist()} < everything
    assert (few == evaluation_triples(table, rows[::-1], limit=20, seed=0)).all()
    assert (few != evaluation_triples(table, rows, limit=20, seed=1)).any()
    # a choice over all of them, not the first ones
    assert set(table.loc[few[:, 0], "person"]) == set(_people(4))


def test_a_truth_is_as_strong_as_the_source() -> None:
    table = photo_table(
        {"path": f"{p}{e}{i}", "person": p, "expression": e, "intensity": i}
        for p in _people(3)
        for e, i in (("neutral", 1.0), ("happy", 0.5), ("happy", 1.0))
    )
    triples = evaluation_triples(table, np.arange(len(table)))
    assert len(triples) == 3 * 2 * 3 * 2  # sources' people, others, what is shown, other targets
    drawn = TransferSamples(table, _rows(table, _people(3)), seed=0).draw(0, batch=60)
    for source, target, truth in _photos(table, np.concatenate([triples, drawn])):
        assert (source["expression"], source["intensity"]) == (
            truth["expression"],
            truth["intensity"],
        )
        assert source["person"] != target["person"] == truth["person"]


def test_photos_of_a_sequence_share_one_truth() -> None:
    table = photo_table(
        {"path": f"{p}{e}{f}", "person": p, "expression": e, "frame": f}
        for p, e, f in product("ab", ("neutral", "happy"), range(3))
    )
    triples = evaluation_triples(table, np.arange(len(table)))
    assert len(triples) == 2 * 2 * 3 * 3  # ways, expressions, sources, targets
    assert set(table.loc[triples[:, 2], "frame"]) == {0}


def test_nothing_to_measure_is_an_empty_table() -> None:
    for table, people in ((_table(), ["000"]), (_table(expressions=("happy",)), _people(6))):
        assert evaluation_triples(table, _rows(table, people)).shape == (0, 3)
    assert evaluation_triples(_table(), np.arange(18), limit=0).shape == (0, 3)


def test_a_source_may_look_anywhere_when_asked() -> None:
    table = _table(people=4, gazes=("frontal", "left"))
    rows = np.arange(len(table))
    ahead, anywhere = (evaluation_triples(table, rows, source_gaze=g) for g in ("frontal", "any"))
    assert len(anywhere) == 2 * len(ahead)
    gaze = table["gaze"].to_numpy()
    assert set(gaze[ahead[:, SOURCE]]) == {"frontal"}
    drawn = TransferSamples(table, rows, 0, "any").draw(0, 100)
    assert set(gaze[drawn[:, SOURCE]]) == {"frontal", "left"}
    assert len(PairSamples(table, rows, 0, "any")) == len(anywhere)
    split = split_photos(_table(people=12, gazes=("frontal", "left")), source_gaze="any")
    triples = split.pairs("test", 10_000, 0)
    assert set(split.table["gaze"].to_numpy()[triples[:, SOURCE]]) == {"frontal", "left"}
    nobody_ahead = _table(people=4, gazes=("left",))
    assert len(TransferSamples(nobody_ahead, np.arange(12), 0, "any")) == 12


@pytest.mark.parametrize("table", TABLES)
def test_people_can_be_paired_with_themselves(table) -> None:
    triples = evaluation_triples(table, np.arange(len(table)), same_person=True)
    expected = 0
    for (_, source), (_, target) in product(table.iterrows(), repeat=2):
        alike = table["person"] == source["person"]
        alike &= (table["expression"] == source["expression"]) & (table["yaw"] == source["yaw"])
        expected += bool(
            source["person"] == target["person"]
            and source["gaze"] == "frontal"
            and source["yaw"] == target["yaw"]
            and source["expression"] != target["expression"]
            and (alike & (table["gaze"] == target["gaze"])).any()
        )
    assert len(triples) == expected
    for source, target, truth in _photos(table, triples):
        assert source["person"] == target["person"] == truth["person"]
        assert source["expression"] == truth["expression"] != target["expression"]
        assert target["gaze"] == truth["gaze"]


def test_each_of_the_three_can_be_held_to_rows_of_its_own() -> None:
    table = _table(people=6)
    sources, targets = _rows(table, ["000"]), _rows(table, ["001", "002"])
    truths = targets[::2]
    triples = evaluation_triples(table, truths, sources=sources, targets=targets)
    whole = evaluation_triples(table, np.arange(len(table)))
    kept = np.isin(whole[:, 0], sources) & np.isin(whole[:, 1], targets)
    assert (triples == whole[kept & np.isin(whole[:, 2], truths)]).all() and len(triples)


@pytest.mark.parametrize("table", TABLES[3:6])
def test_an_epoch_can_be_every_pair_once(table) -> None:
    rows = _rows(table, _people(7)[1:6])
    samples = PairSamples(table, rows, seed=1)
    everything = sorted(map(tuple, evaluation_triples(table, rows).tolist()))
    assert len(samples) == len(everything) and samples.rows.tolist() == rows.tolist()
    batch = 7
    steps = -(-2 * len(samples) // batch)
    drawn = np.concatenate([samples.draw(step, batch) for step in range(steps)])
    first, second = drawn[: len(samples)], drawn[len(samples) : 2 * len(samples)]
    assert sorted(map(tuple, first.tolist())) == everything
    assert sorted(map(tuple, second.tolist())) == everything
    assert (first != second).any()
    assert (PairSamples(table, rows, seed=1).draw(5, 8) == samples.draw(5, 8)).all()
    with pytest.raises(TooFewPeople, match="no two training people"):
        PairSamples(_table(people=1), np.arange(3), seed=0)


def test_pairs_too_many_to_be_listed_come_once_an_epoch_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = _table(people=5, keep=0.8)
    everything = evaluation_triples(table, np.arange(len(table)))
    monkeypatch.setattr(samples_module, "_LISTED", 0)
    samples = PairSamples(table, np.arange(len(table)), seed=4)
    epochs = [samples.draw(epoch, len(samples)) for epoch in range(3)]
    for drawn in epochs:
        assert sorted(map(tuple, drawn.tolist())) == list(map(tuple, everything.tolist()))
        assert (drawn != everything).any()
    assert (epochs[0] != epochs[1]).any()
    assert (epochs[1] != epochs[2]).any()
    np.testing.assert_array_equal(samples.draw(1, len(samples)), epochs[1])
    np.testing.assert_array_equal(samples.draw(3, 2), epochs[0][6:8])


def test_millions_of_pairs_need_no_memory_each() -> None:
    table = _table(people=400, expressions=EXPRESSIONS)
    tracemalloc.start()
    try:
        samples = PairSamples(table, np.arange(len(table)), seed=0)
        drawn = samples.draw(5, 8)
        limited = evaluation_triples(table, np.arange(len(table)), limit=8)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(samples) == 400 * 8 * 399 * 7
    for triples in (drawn, limited):
        for source, target, truth in _photos(table, triples):
            assert truth["person"] == target["person"] != source["person"]
            assert truth["expression"] == source["expression"] != target["expression"]
    assert most < len(samples)  # bytes


def test_frames_of_sequences_of_different_length_pair_to_the_nearest_tenth() -> None:
    rows = []
    for number, last in enumerate((14, 17, 20, 11)):
        for frame in range(last + 1):
            word = "happy" if frame else "neutral"
            intensity = frame / last if frame else 1.0
            row = {"path": f"{number}_{frame}", "person": _people(4)[number]}
            rows.append(row | {"expression": word, "intensity": intensity, "frame": frame})
    table = photo_table(rows)
    samples = TransferSamples(table, _rows(table, _people(4)), seed=0)
    peaks = (table["intensity"] == 1).sum()
    assert len(samples) > 0.9 * len(table) > peaks
    triples = samples.draw(0, 64)
    source, truth = (table.iloc[triples[:, column]] for column in (SOURCE, TRUTH))
    assert (source["expression"].to_numpy() == truth["expression"].to_numpy()).all()
    difference = np.abs(source["intensity"].to_numpy() - truth["intensity"].to_numpy())
    assert 0 < difference.max() <= 0.1 + 1e-9
    measured = evaluation_triples(table, _rows(table, _people(2)), 10_000)
    given = table["intensity"].to_numpy()[measured]
    assert np.abs(given[:, SOURCE] - given[:, TRUTH]).max() <= 0.1 + 1e-9
