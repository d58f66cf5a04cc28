"""What many pairs say about methods: means over people and their intervals, paired tests, and ranks
with what another seed makes of them."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from expr_lib.measures import Measure

KEYS = ("seed", "source", "target", "truth")
"""The columns that say which pair a row measures, where a table has them."""
FEWEST_PEOPLE = 6
"""With fewer, a difference with one sign in all of them is no verdict: coins give that one time in
sixteen or more often."""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def interval_over_people(
    values: Iterable[float], people: Iterable[str], resamples: int, seed: int
) -> Interval:
    """Mean over people and its 95 % percentile bootstrap interval: people are drawn again, not
    photos.

    values     one number a pair; NaN or infinite where it could not be measured
    people     the target's person of each pair
    resamples  bootstrap samples
    returns    NaN where nothing could be measured; low = high = mean for one person
    """
    means = means_of_people(values, people)
    if len(means) == 0:
        return Interval(math.nan, math.nan, math.nan)
    middle = float(means.mean())
    if len(means) == 1 or np.ptp(means) == 0:
        return Interval(middle, middle, middle)
    from scipy.stats import bootstrap  # slow to import

    result = bootstrap(
        (means,),
        np.mean,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng([seed, 3]),
    )
    low, high = result.confidence_interval
    return Interval(middle, float(low), float(high))


def ratio_over_people(
    values: Iterable[float],
    others: Iterable[float],
    people: Sequence[str],
    resamples: int,
    seed: int,
) -> Interval:
    """Ratio of two paired means over people, and its 95 % percentile bootstrap interval: people
    are drawn again, each with both of their means.

    values, others  one number a pair each; only pairs where both are finite count
    people          the target's person of each pair
    resamples       bootstrap samples
    returns         `mean` is mean(values) / mean(others); NaN where nothing was measured
    """
    paired = [np.fromiter(given, float) for given in (values, others)]
    both = np.isfinite(paired).all(0)
    means = [means_of_people(np.where(both, given, np.nan), people) for given in paired]
    if len(means[0]) == 0:
        return Interval(math.nan, math.nan, math.nan)
    rng = np.random.default_rng([seed, 5])
    drawn = rng.integers(0, len(means[0]), (resamples, len(means[0])))
    ratios = means[0][drawn].mean(1) / means[1][drawn].mean(1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Interval(float(means[0].mean() / means[1].mean()), float(low), float(high))


def means_of_people(values: Iterable[float], people: Iterable[str]) -> np.ndarray:
    """The mean of each person's finite values, people sorted; who has none is left out."""
    known: dict[str, list[float]] = {}
    for value, person in zip(values, people, strict=True):
        if math.isfinite(value):
            known.setdefault(person, []).append(value)
    return np.array([np.mean(known[person]) for person in sorted(known)])


def summarise_methods(
    pairs: pd.DataFrame, measures: Sequence[Measure], resamples: int, seed: int
) -> pd.DataFrame:
    """Mean over people of each method and measure, with its 95 % bootstrap interval.

    pairs    a row a method and pair: method, person and a column a measure
    returns  a row a method and measure: method, measure, mean, low, high, pairs (that could be
             measured) and people; measures that `pairs` has no column of are left out
    """
    rows = []
    for name, part in pairs.groupby("method", sort=False):
        for measure in _known(measures, pairs):
            values = part[measure.name]
            interval = interval_over_people(values, part["person"], resamples, seed)
            rows.append(
                {
                    "method": name,
                    "measure": measure.name,
                    "mean": interval.mean,
                    "low": interval.low,
                    "high": interval.high,
                    "pairs": int(values.notna().sum()),
                    "people": part["person"].nunique(),
                }
            )
    return pd.DataFrame(rows)


def paired_tests(
    pairs: pd.DataFrame, reference: str, measures: Sequence[Measure], resamples: int, seed: int
) -> pd.DataFrame:
    """Each method against a reference method on the same pairs; people are the sample, not pairs.

    pairs      as for `summarise_methods`, with the columns of KEYS that there are
    reference  the method that is subtracted
    returns    a row a measure and other method: difference (method minus reference, mean over
               people), low and high (95 % bootstrap interval), people, p (Wilcoxon's signed-rank
               test of the people's mean differences, two-sided; 1 when all are 0, NaN without any),
               p_holm (the same, corrected after Holm 1979 over the methods of one measure)
    raises     ValueError when the reference is unknown, or a method was measured on other pairs
    """
    methods = _on_the_same_pairs(pairs)
    if reference not in methods:
        raise ValueError(f"no method {reference} among {', '.join(methods)}")
    rows = []
    for measure in _known(measures, pairs):
        subtracted = methods[reference][measure.name]
        tests = [
            {"measure": measure.name, "method": name}
            | _paired(part[measure.name], subtracted, part["person"], resamples, seed)
            for name, part in methods.items()
            if name != reference
        ]
        for test, p in zip(tests, holm([test["p"] for test in tests]), strict=True):
            rows.append(test | {"p_holm": float(p)})
    return pd.DataFrame(rows)


def _paired(
    values: pd.Series, subtracted: pd.Series, people: pd.Series, resamples: int, seed: int
) -> dict[str, Any]:
    differences = values - subtracted
    interval = interval_over_people(differences, people, resamples, seed)
    means = means_of_people(differences, people)
    return {
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "people": len(means),
        "p": _wilcoxon(means),
    }


def _on_the_same_pairs(pairs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each method, in one order of pairs."""
    keys = [key for key in KEYS if key in pairs]
    methods: dict[str, pd.DataFrame] = {}
    for name, part in pairs.groupby("method", sort=False):
        ordered = part.sort_values(keys, kind="stable") if keys else part
        methods[str(name)] = ordered.reset_index(drop=True)
    first = next(iter(methods.values()), pairs)[[*keys, "person"]]
    for name, part in methods.items():
        if not part[[*keys, "person"]].equals(first):
            raise ValueError(f"{name} was not measured on the same pairs as {next(iter(methods))}")
    return methods


def _wilcoxon(differences: np.ndarray) -> float:
    from scipy.stats import wilcoxon  # slow to import

    if len(differences) == 0:
        return math.nan
    return float(wilcoxon(differences).pvalue) if differences.any() else 1.0


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values of one family corrected by Holm's step-down procedure (1979); NaN is no test."""
    p = np.asarray(p_values, float)
    corrected = np.full(len(p), math.nan)
    order = np.argsort(p, kind="stable")[: np.isfinite(p).sum()]  # NaN is sorted to the end
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def rank_methods(table: pd.DataFrame, measures: Sequence[Measure]) -> pd.DataFrame:
    """Rank the methods by their means: 1 is best, equal means share the better rank, methods that
    could not be measured come last.

    table    a row a method and measure with its mean, as `summarise_methods` gives
    returns  a row a measure and method: measure, method, rank
    """
    parts = []
    for measure in measures:
        part = table[table["measure"] == measure.name]
        cost = -measure.better * part["mean"] if measure.better else (part["mean"] - 1).abs()
        rank = cost.rank(method="min", na_option="bottom").astype(int)
        parts.append(part[["measure", "method"]].assign(rank=rank))
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class RankStability:
    """What seeds make of the methods' ranks.

    by_seed    a row a seed, measure and method: seed, measure, method, rank
    spread     a row a measure and method: its lowest (best) and highest rank over the seeds
    agreement  a row a measure: tau, Kendall's tau-b between two seeds' rankings, the mean over all
               pairs of seeds; tau_lowest, of the pair that agrees least; seeds, how many. NaN for
               one seed, or when all methods rank equal
    """

    by_seed: pd.DataFrame
    spread: pd.DataFrame
    agreement: pd.DataFrame


def rank_stability(pairs: pd.DataFrame, measures: Sequence[Measure]) -> RankStability:
    """Rank the methods by each seed alone, and say how far the seeds agree.

    pairs   as for `summarise_methods`, with a column `seed`: every method under every seed (one
            that has no seed is repeated)
    raises  ValueError when a seed lacks a method
    """
    seeds = {seed: part for seed, part in pairs.groupby("seed")}
    methods = set(pairs["method"])
    parts = []
    for seed, part in seeds.items():
        if lacking := methods - set(part["method"]):
            raise ValueError(f"seed {seed} was not measured with {', '.join(sorted(lacking))}")
        means = [
            {"measure": m.name, "method": name, "mean": _mean(rows[m.name], rows["person"])}
            for m in _known(measures, pairs)
            for name, rows in part.groupby("method", sort=False)
        ]
        ranks = rank_methods(pd.DataFrame(means), _known(measures, pairs))
        ranks.insert(0, "seed", seed)
        parts.append(ranks)
    by_seed = pd.concat(parts, ignore_index=True)
    grouped = by_seed.groupby(["measure", "method"], sort=False)["rank"]
    spread = grouped.agg(lowest="min", highest="max").reset_index()
    agreement = [
        {"measure": name, **_taus(part), "seeds": len(seeds)}
        for name, part in by_seed.groupby("measure", sort=False)
    ]
    return RankStability(by_seed, spread, pd.DataFrame(agreement))


def _taus(ranks: pd.DataFrame) -> dict[str, float]:
    from scipy.stats import kendalltau  # slow to import

    wide = ranks.pivot(index="method", columns="seed", values="rank")
    taus = [kendalltau(wide[a], wide[b]).statistic for a, b in itertools.combinations(wide, 2)]
    known = pd.Series(taus, dtype=float)
    return {"tau": known.mean(), "tau_lowest": known.min()}


def _mean(values: pd.Series, people: pd.Series) -> float:
    means = means_of_people(values, people)
    return float(means.mean()) if len(means) else math.nan


def _known(measures: Sequence[Measure], pairs: pd.DataFrame) -> list[Measure]:
    return [measure for measure in measures if measure.name in pairs]
