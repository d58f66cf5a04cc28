"""Means over people and their intervals, paired tests, ranks: each against numbers worked out by
hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from expr_lib.measures import Measure
from expr_lib.statistics import (
    Interval,
    holm,
    interval_over_people,
    means_of_people,
    paired_tests,
    rank_methods,
    rank_stability,
    ratio_over_people,
    summarise_methods,
)

PSNR = Measure("psnr", "PSNR dB", 2, 1)
ERROR = Measure("error", "error %", 2, -1)
SHARP = Measure("sharpness", "sharpness", 2, 0)
ABSENT = Measure("absent", "not measured", 2, 1)


def pairs_of(**methods: dict[str, list[float]]) -> pd.DataFrame:
    """Rows of methods that measured the same pairs, whose people are a, a, b, c, d, ... in turn."""
    tables = []
    for method, measured in methods.items():
        table = pd.DataFrame(measured)
        people = list("aabcdefghijklmnop")[: len(table)]
        tables.append(table.assign(method=method, person=people, source=range(len(table))))
    return pd.concat(tables, ignore_index=True)


# --- intervals


def _nan_equal(found: Interval) -> bool:
    return all(math.isnan(value) for value in (found.mean, found.low, found.high))


def test_people_count_and_not_pairs() -> None:
    """A hundred pairs of one person weigh as much as one pair of another."""
    values, people = [1.0] * 100 + [3.0], ["a"] * 100 + ["b"]
    found = interval_over_people(values, people, 500, seed=0)
    assert found.mean == pytest.approx(2)
    assert (found.low, found.high) == (1, 3)  # both drawn the same person twice


def test_what_could_not_be_measured_is_left_out() -> None:
    nan = math.nan
    values = [1.0, nan, 2.0, nan, 3.0, nan, nan]
    people = ["a", "a", "b", "b", "c", "c", "never found"]
    found = interval_over_people(values, people, 500, seed=0)
    assert found == interval_over_people([1.0, 2.0, 3.0], ["a", "b", "c"], 500, seed=0)
    assert found.mean == pytest.approx(2)
    assert _nan_equal(interval_over_people([nan, nan], ["a", "b"], 500, seed=0))
    assert _nan_equal(interval_over_people([], [], 500, seed=0))


def test_one_person_has_no_spread() -> None:
    assert interval_over_people([1.0, 2.0], ["a", "a"], 500, 0) == Interval(1.5, 1.5, 1.5)
    assert interval_over_people([2.0, 2.0], ["a", "b"], 500, 0) == Interval(2.0, 2.0, 2.0)


def test_the_interval_holds_the_mean_and_is_the_same_for_the_same_seed() -> None:
    values = np.random.default_rng(1).normal(size=40).tolist()
    people = [f"p{i % 10}" for i in range(40)]
    found = interval_over_people(values, people, 1000, seed=0)
    assert found.low < found.mean < found.high
    order = np.random.default_rng(2).permutation(40)
    shuffled = interval_over_people(
        [values[i] for i in order], [people[i] for i in order], 1000, seed=0
    )
    for name in ("mean", "low", "high"):
        assert getattr(shuffled, name) == pytest.approx(getattr(found, name))
    other = interval_over_people(values, people, 1000, seed=1)
    assert other.mean == found.mean
    assert (other.low, other.high) != (found.low, found.high)


def test_fewer_people_a_wider_interval() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=160)
    values = ((values - values.mean()) / values.std()).tolist()

    def width(people: int) -> float:
        who = [str(i % people) for i in range(160)]
        spread = [values[i % people] for i in range(160)]
        found = interval_over_people(spread, who, 1000, seed=0)
        return found.high - found.low

    assert width(5) > width(20) > width(160)
    # 2 x 1.96 standard errors
    assert width(160) == pytest.approx(2 * 1.96 / 160**0.5, rel=0.15)


def test_repeating_every_pair_does_not_feign_precision() -> None:
    values = np.random.default_rng(4).normal(size=12).tolist()
    people = [str(i) for i in range(12)]
    once = interval_over_people(values, people, 1000, seed=0)
    often = interval_over_people(values * 50, people * 50, 1000, seed=0)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=1e-6)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """300 experiments with 20 people and 4 pairs each, whose true mean is 5."""
    rng = np.random.default_rng(5)
    people = np.repeat([str(i) for i in range(20)], 4).tolist()
    hits = 0
    for seed in range(300):
        ability = np.repeat(rng.normal(5, 1, 20), 4)
        found = interval_over_people((ability + rng.normal(0, 1, 80)).tolist(), people, 400, seed)
        hits += found.low <= 5 <= found.high
    # the percentile bootstrap of 20 falls a little short of 95 %
    assert 0.87 < hits / 300 < 0.98


# --- methods


def test_the_summary_has_a_row_a_method_and_measure_over_people() -> None:
    pairs = pairs_of(
        copy={"psnr": [20, 22, 31], "error": [1, 1, math.nan]},
        paper={"psnr": [30, 30, 33], "error": [math.nan] * 3},
    )
    table = summarise_methods(pairs, [PSNR, ABSENT, ERROR], 200, seed=0)
    assert table["method"].tolist() == ["copy"] * 2 + ["paper"] * 2
    assert table["measure"].tolist() == ["psnr", "error"] * 2
    assert table["mean"].tolist()[:3] == [26, 1, 31.5]  # (21 + 31) / 2, not 24.33
    assert table["pairs"].tolist() == [3, 2, 3, 0]
    assert table["people"].tolist() == [2] * 4
    assert table.loc[0, ["low", "high"]].tolist() == [21, 31]
    assert table.loc[3, ["mean", "low", "high"]].isna().all()


def test_the_means_of_people_are_sorted_and_finite() -> None:
    values = [1.0, 5.0, math.inf, 3.0, math.nan, 9.0]
    assert means_of_people(values, ["b", "a", "b", "b", "c", "a"]).tolist() == [7, 2]
    assert len(means_of_people([math.nan], ["a"])) == 0


def test_paired_tests_are_over_people_and_by_hand() -> None:
    base = [20.0] * 7  # people a, a, b, c, d, e, f
    pairs = pairs_of(
        base={"psnr": base},
        better={"psnr": [21, 23, 21, 22.5, 21.5, 22.25, 21.25]},  # a: 2 on average
        mixed={"psnr": [24, 26, 19, 18, 17, 21.5, 20.5]},
        same={"psnr": base},
    )
    table = paired_tests(pairs, "base", [PSNR, ABSENT], 500, seed=0).set_index("method")
    assert list(table.index) == ["better", "mixed", "same"]
    means = [2, 1, 2.5, 1.5, 2.25, 1.25]
    assert table.loc["better", "difference"] == pytest.approx(np.mean(means))
    assert 1 < table.loc["better", "low"] < np.mean(means) < table.loc["better", "high"] < 2.5
    # six people, all above 0: 2 of the 2^6 signs are as extreme
    assert table.loc["better", "p"] == pytest.approx(2 / 64)
    # differences 5, -1, -2, -3, 1.5, 0.5: ranks 6, 2, 4, 5 and 3, 1; the negatives' sum is 11 of
    # 21, the positives' 10, in how many of the 64 signs?
    sums = [sum(r for r in range(1, 7) if signs >> r - 1 & 1) for signs in range(64)]
    assert table.loc["mixed", "p"] == pytest.approx(2 * sum(s <= 10 for s in sums) / 64)
    assert table.loc["same", "p"] == 1
    assert table.loc["same", ["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert table["p_holm"].tolist() == pytest.approx([6 / 64, 1, 1])
    assert table["people"].tolist() == [6] * 3


def test_pairs_in_another_order_are_paired_all_the_same() -> None:
    rng = np.random.default_rng(0)
    pairs = pairs_of(**{name: {"psnr": rng.normal(size=9).tolist()} for name in ("a", "b")})
    shuffled = pairs.sample(frac=1, random_state=1)
    assert shuffled.index.tolist() != pairs.index.tolist()
    one, other = (
        paired_tests(each, "a", [PSNR], 100, 0).set_index("method") for each in (pairs, shuffled)
    )
    assert one.loc["b", "difference"] != 0
    pd.testing.assert_frame_equal(one, other)


def test_what_is_not_paired_is_refused() -> None:
    pairs = pairs_of(a={"psnr": [1, 2, 3]}, b={"psnr": [1, 2, 3]})
    with pytest.raises(ValueError, match="no method c among a, b"):
        paired_tests(pairs, "c", [PSNR], 100, 0)
    with pytest.raises(ValueError, match="b was not measured on the same pairs as a"):
        paired_tests(pairs.iloc[:-1], "a", [PSNR], 100, 0)
    pairs.loc[5, "source"] = 7
    with pytest.raises(ValueError, match="b was not measured on the same pairs as a"):
        paired_tests(pairs, "a", [PSNR], 100, 0)


def test_what_one_method_could_not_measure_counts_for_neither() -> None:
    pairs = pairs_of(
        base={"psnr": [1, 1, math.inf, 1]}, other={"psnr": [3, math.nan, math.inf, math.nan]}
    )
    row = paired_tests(pairs, "base", [PSNR], 100, 0).iloc[0]
    assert row["difference"] == 2
    assert row["people"] == 1  # a alone: b is infinite in both, c was not found
    pairs.loc[pairs["method"] == "other", "psnr"] = math.nan
    assert paired_tests(pairs, "base", [PSNR], 100, 0).iloc[0][["difference", "p"]].isna().all()


def test_holm_by_hand() -> None:
    # sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2 (as the one before), 0.8 x 1
    assert holm([0.03, 0.01, 0.8, 0.02]).tolist() == pytest.approx([0.06, 0.04, 0.8, 0.06])
    assert holm([0.6, 0.7]).tolist() == [1, 1]
    with_none = holm([0.01, math.nan, 0.04])
    assert with_none[[0, 2]].tolist() == pytest.approx([0.02, 0.04])
    assert math.isnan(with_none[1])
    assert holm([]).tolist() == []


# --- ranks


def test_ranks_follow_what_is_better() -> None:
    means = {
        "psnr": {"a": 20.0, "b": 25.0, "c": 20.0, "d": math.nan},
        "error": {"a": 3.0, "b": 2.0, "c": 1.0, "d": 4.0},
        "sharpness": {"a": 0.4, "b": 1.5, "c": 0.9, "d": 1.2},
    }
    rows = [
        {"method": method, "measure": name, "mean": mean}
        for name, each in means.items()
        for method, mean in each.items()
    ]
    ranks = rank_methods(pd.DataFrame(rows), [PSNR, ERROR, SHARP])
    wide = ranks.pivot(index="measure", columns="method", values="rank")
    assert wide.loc["psnr"].to_dict() == {"a": 2, "b": 1, "c": 2, "d": 4}  # d was not found
    assert wide.loc["error"].to_dict() == {"a": 3, "b": 2, "c": 1, "d": 4}
    assert wide.loc["sharpness"].to_dict() == {"a": 4, "b": 3, "c": 1, "d": 2}


def seeded(*seeds: dict[str, float]) -> pd.DataFrame:
    """Methods whose mean PSNR over two people is given, under one seed after the other."""
    parts = [
        pairs_of(**{name: {"psnr": [m - 1, m + 1, m]} for name, m in means.items()}).assign(seed=i)
        for i, means in enumerate(seeds)
    ]
    return pd.concat(parts, ignore_index=True)


def test_the_seeds_agreement_by_hand() -> None:
    pairs = seeded({"a": 3, "b": 2, "c": 1}, {"a": 3, "b": 1, "c": 2}, {"a": 30, "b": 20, "c": 10})
    found = rank_stability(pairs, [PSNR, ABSENT])
    assert len(found.by_seed) == 9
    of_second = found.by_seed[found.by_seed["seed"] == 1].set_index("method")["rank"]
    assert of_second.to_dict() == {"a": 1, "b": 3, "c": 2}
    spread = found.spread.set_index("method")
    assert spread["lowest"].to_dict() == {"a": 1, "b": 2, "c": 2}
    assert spread["highest"].to_dict() == {"a": 1, "b": 3, "c": 3}
    # of three pairs of methods one is turned round: (2 - 1) / 3, twice, and 1 once
    row = found.agreement.iloc[0]
    assert (row["measure"], row["seeds"]) == ("psnr", 3)
    assert row["tau"] == pytest.approx((1 / 3 + 1 / 3 + 1) / 3)
    assert row["tau_lowest"] == pytest.approx(1 / 3)


def test_one_seed_agrees_with_nothing_and_a_lacking_method_is_told() -> None:
    found = rank_stability(seeded({"a": 3, "b": 2}), [PSNR])
    assert found.agreement["tau"].isna().all()
    assert (found.spread["lowest"] == found.spread["highest"]).all()
    with pytest.raises(ValueError, match="seed 1 was not measured with b"):
        rank_stability(seeded({"a": 3, "b": 2}, {"a": 3}), [PSNR])


def test_a_ratio_is_that_of_means_over_people_on_pairs_that_both_have() -> None:
    values = [1.0, 3.0, 4.0, math.nan, 8.0]
    others = [2.0, 2.0, 8.0, 5.0, math.nan]
    found = ratio_over_people(values, others, ["a", "a", "b", "b", "c"], 500, 0)
    assert found.mean == pytest.approx((2 + 4) / (2 + 8))
    assert (found.low, found.high) == pytest.approx((0.5, 1.0))  # all b, or all a
    assert found == ratio_over_people(values, others, ["a", "a", "b", "b", "c"], 500, 0)


def test_a_ratio_is_paired() -> None:
    """People differ a lot, and each errs by a tenth less: the interval is next to nothing wide."""
    people = [f"p{n}" for n in range(20)]
    others = np.random.default_rng(0).uniform(1, 9, 20)
    found = ratio_over_people(0.9 * others, others, people, 500, 0)
    assert (found.low, found.mean, found.high) == pytest.approx((0.9, 0.9, 0.9))
    nothing = ratio_over_people([math.nan], [1.0], ["p"], 500, 0)
    assert all(math.isnan(value) for value in (nothing.mean, nothing.low, nothing.high))
