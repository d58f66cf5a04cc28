"""Every way to fuse landmarks side by side, on the same pairs of unseen people: the controls, ridge
regression, Φ and FReeNet's converter."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from expr_lib.config import FusionSettings, RunSettings, load_settings
from expr_lib.errors import in_one_line
from expr_lib.files import digest
from expr_lib.methods.converter import Converter
from expr_lib.methods.fusion import LandmarkFusion
from expr_lib.methods.landmark_controls import (
    CopySourcePoints,
    CopyTargetPoints,
    Fitted,
    FusionMethod,
    MeanShift,
    RelativeMotion,
)
from expr_lib.metrics import landmark_error
from expr_lib.points import Layout
from expr_lib.pointset import Landmarked
from expr_lib.samples import SOURCE, TARGET, TRUTH
from expr_lib.splits import Split
from expr_lib.stages import kept_stage
from expr_lib.statistics import interval_over_people, ratio_over_people
from expr_lib.tables import as_markdown, interval_as_text

WHOLE = "face"
REFERENCE = "ridge"
"""The method that all others are set in ratio to."""


@dataclass(frozen=True)
class FusionComparison:
    """Landmark errors of several methods.

    pairs    one row a method and triple: method, rows of source, target and truth, person,
             expressions, and the error in % of the eye distance on the whole `face` and each part;
             NaN where the method lacks what it needs
    summary  one row a method: title, what it needs, pairs, people, for face and parts the mean over
             people with `_low` and `_high` of its 95 % interval, `ratio` to ridge on the pairs that
             both can do, with its interval; `reason` says why there are no numbers
    """

    pairs: pd.DataFrame
    summary: pd.DataFrame


@dataclass(frozen=True)
class Absent(FusionMethod):
    """A method that could not be fitted, and why."""

    name: str  # type: ignore[misc]
    title: str  # type: ignore[misc]
    needs: str  # type: ignore[misc]
    missing: str  # type: ignore[misc]

    def fuse(self, faces: Landmarked, triples: NDArray[np.int64]) -> np.ndarray:
        """Nothing."""
        return np.full((len(triples), *faces.landmarks.shape[1:]), np.nan)


def compare_fusion(
    faces: Landmarked,
    split: Split,
    settings: RunSettings,
    folder: Path,
    *,
    fusion: LandmarkFusion | None = None,
    images: int | None = None,
    triples: NDArray[np.int64] | None = None,
) -> FusionComparison:
    """Fit all methods on the training people and measure them on pairs of test people.

    folder   where trained networks are kept, each in a folder of its own; what is finished there is
             not trained again
    fusion   the run's own stage 1; None fits it here
    images   faces that Φ as printed and FReeNet's converter are shown each, 0 to leave both out;
             None for what `faces_shown` says
    triples  (M, 3) pairs to measure; by default those of `evaluation.pairs`
    raises   TooFewPeople when nobody can be measured; a method that fails is a row with its reason
    """
    if triples is None:
        triples = split.pairs("test", settings.evaluation.pairs, settings.seed)
    methods = fusion_methods(faces, split, settings, folder, fusion, images)
    pairs = measure_fusion(faces, triples, methods)
    return FusionComparison(pairs, summarise_fusion(pairs, methods, faces.layout, settings))


def fusion_methods(
    faces: Landmarked,
    split: Split,
    settings: RunSettings,
    folder: Path,
    fusion: LandmarkFusion | None = None,
    images: int | None = None,
) -> list[FusionMethod]:
    """All methods, fitted, the simplest first; see `compare_fusion`."""
    own = settings.fusion
    if images is None:
        _, images = faces_shown(settings, split)
    fit = _Fitting(faces, split, settings, Path(folder))
    methods: list[FusionMethod] = [
        CopyTargetPoints(),
        CopySourcePoints(),
        RelativeMotion(),
        MeanShift(faces, split),
        fit.fusion(REFERENCE, "ridge regression", FusionSettings(model="ridge", flips=own.flips)),
    ]
    if images:
        methods.append(fit.fusion("printed", "Φ as printed", printed(images)))
    if own.model != "ridge":
        title = "Φ of this run" + (", with ridge beside it" if own.model == "blend" else "")
        given = Fitted(fusion, "own", title) if fusion else fit.fusion("own", title, own)
        if isinstance(given, Fitted) and (alone := given.fusion.alone):
            methods.append(Fitted(alone, "alone", "Φ of this run, alone"))
        methods.append(given)
    return [*methods, fit.converter(images)] if images else methods


def faces_shown(settings: RunSettings, split: Split) -> tuple[int, int]:
    """How many faces a run's own Φ is shown, and each of its rivals that learn by steps."""
    own, rivals = settings.fusion, settings.comparison.fusion_images
    shown = own.steps(len(split.samples(settings.seed, own.epoch))) * own.batch
    return shown, shown if rivals is None else rivals


def printed(images: int) -> FusionSettings:
    """The paper's settings of Φ, within a budget of faces shown."""
    budget = {"epochs": None, "images": images}
    return load_settings("paper").fusion.model_copy(update=budget)


@dataclass(frozen=True)
class _Fitting:
    """Fits methods, each in a folder of its own, or reads them when they are finished."""

    faces: Landmarked
    split: Split
    settings: RunSettings
    folder: Path

    def _inputs(self, **more: Any) -> dict[str, Any]:
        return {
            "faces": self.faces.key,
            "parts": self.split.key,
            "source_gaze": self.split.gaze,
            "seed": self.settings.seed,
            **more,
        }

    def fusion(self, name: str, title: str, chosen: FusionSettings) -> FusionMethod:
        """Φ, ridge regression or both of these settings, or why there is none."""
        settings = self.settings.model_copy(update={"fusion": chosen})
        folder, inputs = self.folder / name, self._inputs(fusion=chosen.model_dump(mode="json"))
        try:
            with kept_stage(folder, inputs) as finished:
                if finished:
                    fitted = LandmarkFusion.load(folder, settings, self.faces.layout.count)
                else:
                    key = digest(inputs)
                    fitted = LandmarkFusion.fit(self.faces, self.split, settings, folder, key)
                    fitted.save(folder)
        except Exception as error:  # the others must not be lost
            return Absent(name, title, "", in_one_line(error))
        return Fitted(fitted, name, title)

    def converter(self, images: int) -> FusionMethod:
        """FReeNet's converter, or why there is none."""
        folder, inputs = self.folder / Converter.name, self._inputs(converter={"images": images})
        try:
            with kept_stage(folder, inputs) as finished:
                if finished:
                    return Converter.load(folder, self.faces.layout.count)
                seed, key = self.settings.seed, digest(inputs)
                fitted = Converter.fit(self.faces, self.split, images, seed, folder, key)
                fitted.save(folder)
                return fitted
        except Exception as error:  # the others must not be lost
            return Absent(Converter.name, Converter.title, Converter.needs, in_one_line(error))


def measure_fusion(
    faces: Landmarked, triples: NDArray[np.int64], methods: Sequence[FusionMethod]
) -> pd.DataFrame:
    """Errors of methods on triples (M, 3), see `FusionComparison.pairs`."""
    table, layout = faces.table, faces.layout
    source, target, truth = (triples[:, column] for column in (SOURCE, TARGET, TRUTH))
    about = {
        "source": source,
        "target": target,
        "truth": truth,
        "person": table["person"].to_numpy()[target],
        "from": table["expression"].to_numpy()[target],
        "to": table["expression"].to_numpy()[source],
    }
    wanted = faces.landmarks[truth]
    rows = []
    for method in methods:
        fused = method.fuse(faces, triples)
        errors = {
            part: landmark_error(fused, wanted, layout, None if part == WHOLE else part)
            for part in _parts(layout)
        }
        rows.append(pd.DataFrame({"method": method.name, **about, **errors}))
    return pd.concat(rows, ignore_index=True)


def _parts(layout: Layout) -> tuple[str, ...]:
    return (WHOLE, *layout.parts)


def summarise_fusion(
    pairs: pd.DataFrame,
    methods: Sequence[FusionMethod],
    layout: Layout,
    settings: RunSettings,
) -> pd.DataFrame:
    """Means over people and ratios to ridge, see `FusionComparison.summary`."""
    resamples, seed = settings.evaluation.resamples, settings.seed
    by_method = {name: part.reset_index(drop=True) for name, part in pairs.groupby("method")}
    reference = by_method.get(REFERENCE)
    rows = []
    for method in methods:
        found = by_method[method.name]
        known = found[WHOLE].notna()
        row: dict[str, Any] = {
            "method": method.name,
            "title": method.title,
            "needs": method.needs,
            "pairs": int(known.sum()),
            "people": int(found["person"][known].nunique()),
        }
        for part in _parts(layout):
            interval = interval_over_people(found[part], found["person"], resamples, seed)
            row |= {
                part: interval.mean,
                f"{part}_low": interval.low,
                f"{part}_high": interval.high,
            }
        if reference is not None:
            ratio = ratio_over_people(
                found[WHOLE], reference[WHOLE], found["person"], resamples, seed
            )
            row |= {"ratio": ratio.mean, "ratio_low": ratio.low, "ratio_high": ratio.high}
        rows.append({**row, "reason": "" if known.any() else method.missing})
    return pd.DataFrame(rows)


def fusion_as_markdown(comparison: FusionComparison, layout: Layout) -> str:
    """The summary as a Markdown table: errors in % of the eye distance, the whole face and the
    ratio to ridge with their 95 % intervals over people."""
    parts = tuple(layout.parts)
    head = ["method", "needs besides source and target", "landmark error %", *parts]
    head += ["ratio to ridge", "pairs"]
    rows = []
    for _, row in comparison.summary.iterrows():
        cells = [row["title"], row["needs"] or "-"]
        if row["reason"]:
            cells += [row["reason"], *["-"] * (len(parts) + 1), "0"]
        else:
            cells += [_interval(row, WHOLE), *(f"{row[part]:.2f}" for part in parts)]
            cells += ["1" if row["method"] == REFERENCE else _interval(row, "ratio")]
            cells += [str(row["pairs"])]
        rows.append(cells)
    return as_markdown(head, rows)


def _interval(row: pd.Series, name: str) -> str:
    mean, low, high = (float(row[column]) for column in (name, f"{name}_low", f"{name}_high"))
    return interval_as_text(mean, low, high, 3 if name == "ratio" else 2)
