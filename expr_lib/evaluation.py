"""The table: the model beside its controls, on unseen people, every row measured in one run on the
same pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from expr_lib import figures
from expr_lib.config import RunSettings
from expr_lib.errors import BrokenCheckpoint
from expr_lib.faceset import FaceSet
from expr_lib.files import only_one, whole_file, write_text
from expr_lib.measures import MEASURES, measure
from expr_lib.measuring import embed_all, find_all
from expr_lib.methods.base import FaceBatch, Method
from expr_lib.methods.controls import CopyTarget, WarpTarget
from expr_lib.methods.painting import Painter
from expr_lib.metrics import landmark_error
from expr_lib.photos import as_grey
from expr_lib.printed import beside_printed
from expr_lib.runs import Run
from expr_lib.samples import SOURCE, TARGET, TRUTH, name_pairs
from expr_lib.stages import differences, read_stage
from expr_lib.statistics import interval_over_people, means_of_people, summarise_methods
from expr_lib.tables import as_markdown, interval_as_text, what_is_bold

TABLES = ("pairs.csv", "table.csv", "same_person.csv", "table.md")


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    pairs        one row a method and pair: rows of source, target and truth, person, expressions,
                 and every measure
    table        one row a method and measure: mean and 95 % interval over people, and the paired
                 difference to copying
    same_person  the same as `pairs`, of people paired with themselves (self-reenactment); maybe
                 empty
    markdown     all as text: the table, the differences, same-person pairs, Tables 3 and 4
    """

    pairs: pd.DataFrame
    table: pd.DataFrame
    same_person: pd.DataFrame
    markdown: str


def compare(
    faces: FaceSet, triples: np.ndarray, methods: Sequence[Method], model: Painter, jobs: int
) -> pd.DataFrame:
    """Generate and measure transfers with every method.

    triples  (M, 3) rows of source, target and truth
    returns  one row a method and triple, see `Evaluation.pairs`
    """
    settings = model.settings
    source, target, truth = (
        FaceBatch.of(faces, triples[:, column], settings.size) for column in (SOURCE, TARGET, TRUTH)
    )
    wanted = model.fuse(source, target)
    rows, place = np.unique(triples[:, TRUTH], return_inverse=True)
    once = FaceBatch.of(faces, rows, settings.size)
    codes = embed_all(once.photos, once.points, jobs, "embedding truths")[place]
    tables = []
    for method in methods:
        results = method.generate(source, target)
        results = as_grey(results) if faces.grey else results
        measured = measure(
            results,
            truth,
            codes,
            wanted,
            window=settings.evaluation.ssim_window,
            device=model.device,
            jobs=jobs,
            title=method.title,
        )
        about = name_pairs(faces.table, triples)
        about.insert(0, "method", method.name)
        tables.append(pd.concat([about, measured], axis=1))
    return pd.concat(tables, ignore_index=True)


def summarise(pairs: pd.DataFrame, settings: RunSettings) -> pd.DataFrame:
    """Means over people with 95 % bootstrap intervals, and each method's paired difference to
    copying and warping."""
    resamples, seed = settings.evaluation.resamples, settings.seed
    rows = summarise_methods(pairs, MEASURES, resamples, seed).to_dict("records")
    by_method = {
        name: part.reset_index(drop=True) for name, part in pairs.groupby("method", sort=False)
    }
    for row in rows:
        part = by_method[row["method"]]
        for control in ("copy", "warp"):
            if control in by_method and control != row["method"]:
                difference = part[row["measure"]] - by_method[control][row["measure"]]
                paired = interval_over_people(difference, part["person"], resamples, seed)
                row |= {
                    f"minus_{control}": paired.mean,
                    f"minus_{control}_low": paired.low,
                    f"minus_{control}_high": paired.high,
                    f"minus_{control}_people": len(means_of_people(difference, part["person"])),
                }
    return pd.DataFrame(rows)


def means_as_markdown(table: pd.DataFrame, pairs: pd.DataFrame, titles: dict[str, str]) -> str:
    """Means with their intervals as a Markdown table, a row a method."""
    found = pairs.groupby("method")["found"].mean()
    rows = [(title, *_cells(table, name), f"{found[name]:.0%}") for name, title in titles.items()]
    return as_markdown(("method", *(m.title for m in MEASURES), "faces found"), rows)


def differences_as_markdown(table: pd.DataFrame, titles: dict[str, str]) -> str:
    """Paired differences to the controls as a Markdown table."""
    rows = []
    for name in titles:
        for control in ("copy", "warp"):
            if control == name or (name, control) == ("copy", "warp"):
                continue
            if f"minus_{control}" not in table:
                continue
            what = f"{titles[name]} minus {titles[control]}"
            rows.append((what, *_cells(table, name, control)))
    return as_markdown(("difference", *(m.title for m in MEASURES)), rows)


def _cells(table: pd.DataFrame, method: str, control: str = "") -> list[str]:
    """A method's cell in each column of the table: its means, or its differences to a control."""
    rows = table.set_index(["method", "measure"])
    less = f"minus_{control}"
    names = [less, *(f"{less}_{end}" for end in ("low", "high", "people"))]
    found = []
    for m in MEASURES:
        row = rows.loc[(method, m.name)]
        values = row[names if control else ["mean", "low", "high", "people"]]
        mean, low, high, people = values.astype(float)
        found.append(interval_as_text(mean, low, high, m.decimals, bool(control), int(people)))
    return found


def noise_floor(faces: FaceSet, pairs: pd.DataFrame, size: int, jobs: int = 1) -> float:
    """Landmark error of the true photos against their own landmarks, mean in % of the eye
    distance; NaN when no face is found in any."""
    rows = np.unique(pairs["truth"].to_numpy())
    truth = FaceBatch.of(faces, rows, size)
    again = find_all(truth.photos, jobs, "finding faces: truths")
    errors = landmark_error(again, truth.points)
    return float(pd.Series(errors).mean())


def evaluate(run: Run, out: Path | None = None) -> Evaluation:
    """Measure a run's finished model beside its controls; write tables and figures.

    out      where to write pairs.csv, table.csv, table.md and the figures; by default the run's
             folder `evaluation`,
             where what is finished is read instead of measured again
    raises   BrokenCheckpoint when the run holds no finished model; OutputFailed
    """
    model = run.trained_model()
    faces = FaceSet.load(run.faces_at)  # those that the model was trained with: none are made now
    faces = faces.in_grey() if run.settings.grey else faces
    inputs, known = run.transfer_inputs(faces), read_stage(run.folder / "transfer")
    if known is None or known["inputs"] != inputs:
        changed = differences(known["inputs"], inputs) if known else "its stage.json is missing"
        raise BrokenCheckpoint(
            f"the model in {run.folder} was not trained with these faces and settings ({changed}); "
            "give it back what it was trained with, or train again"
        )
    run.use_threads()
    if out is not None:
        with only_one(Path(out)):
            return _evaluate_into(Path(out), run, model, faces)
    inputs = {**inputs, "evaluation": run.settings.evaluation.model_dump(mode="json")}
    with run.stage("evaluation", inputs, replace=True) as (folder, finished):
        if not finished or not all((folder / name).is_file() for name in TABLES):
            return _evaluate_into(folder, run, model, faces)
        pairs, table, same_person = (
            pd.read_csv(folder / name, dtype={"person": str}) for name in TABLES[:3]
        )
        markdown = (folder / "table.md").read_text(encoding="utf-8")
        return Evaluation(pairs, table, same_person, markdown)


def _evaluate_into(folder: Path, run: Run, model: Painter, faces: FaceSet) -> Evaluation:
    methods: list[Method] = [CopyTarget(), WarpTarget(model.fusion), model]
    settings, split = run.settings, run.split()
    chosen = settings.evaluation
    triples = split.pairs("test", chosen.pairs, settings.seed)
    pairs = compare(faces, triples, methods, model, run.jobs)
    own = split.pairs("test", chosen.same_person_pairs, settings.seed, same_person=True)
    same_person = compare(faces, own, methods, model, run.jobs) if len(own) else pairs.iloc[:0]
    table = summarise(pairs, settings)
    titles = {method.name: method.title for method in methods}
    people = pairs["person"].nunique()
    whose = "people" if split.by_people else "people, whose truths were"
    conditions = (
        f"{settings.size} pixels, source {faces.card['source']}, preset {settings.preset}, "
        f"split by {settings.split if settings.split in ('people', 'images') else 'a file'}"
    )
    text = [
        f"{len(triples)} transfers between {people} {whose} unseen in training, {conditions}; mean "
        "over people [95 % interval].\n",
        means_as_markdown(table, pairs, titles),
        f"Paired differences (same pairs, 95 % interval over people; {what_is_bold(people)}):\n",
        differences_as_markdown(table, titles),
        "Noise floor: in the true photos themselves dlib finds the landmarks again with an error "
        f"of {noise_floor(faces, pairs, settings.size, run.jobs):.2f} %.\n",
    ]
    if len(own):
        text += [
            f"Same person, apart (self-reenactment): {len(own)} transfers in which source and "
            "target show one person.\n",
            means_as_markdown(summarise(same_person, settings), same_person, titles),
        ]
    told = f"{conditions}, {len(triples)} pairs of {people} people"
    text.append(beside_printed(table, titles, told))
    result = Evaluation(pairs, table, same_person, "\n".join(text))
    for name, each in (("pairs", pairs), ("table", table), ("same_person", same_person)):
        write_text(folder / f"{name}.csv", each.to_csv(index=False))
    write_text(folder / "table.md", result.markdown)
    for name, figure in draw_figures(run, faces, methods, model, table).items():
        with whole_file(folder / name) as temporary:
            figure.savefig(temporary, dpi=110)
    return result


FIGURES = {
    "grid.png": "Sources across the top, targets down the side, marked as seen in training or not "
    "(the paper's Figures 3, 4)",
    "comparison.png": "Transfers between unseen people: the model, its controls and the truth",
    "curves.png": "SSIM and PSNR of test and validation people against epochs (the paper's "
    "Figures 5, 6); the ring is the state that was kept, by the validation people's SSIM",
    "landmarks.png": "Landmarks: found (blue) and fused (orange)",
    "losses_fusion.png": "Losses of stage 1",
    "losses_transfer.png": "Losses of stage 2",
}
"""Figures of a run, in the order of the report, with what they show."""


def draw_figures(
    run: Run, faces: FaceSet, methods: Sequence[Method], model: Painter, table: pd.DataFrame
) -> dict[str, Figure]:
    """All figures of a run, by file name."""
    stage, split = run.folder / "transfer", run.split()
    drawn = {
        "grid.png": figures.transfer_grid(faces, split, model),
        "comparison.png": figures.comparison_grid(faces, split, methods, model),
        "curves.png": figures.quality_curves(pd.read_csv(stage / "curve.csv"), table),
        "landmarks.png": figures.landmark_overlays(faces, split, model),
        "losses_transfer.png": figures.loss_curves(pd.read_csv(stage / "metrics.csv"), "stage 2"),
    }
    losses = run.folder / "fusion" / "metrics.csv"
    if losses.is_file():
        drawn["losses_fusion.png"] = figures.loss_curves(pd.read_csv(losses), "stage 1")
    return {name: drawn[name] for name in FIGURES if name in drawn}
