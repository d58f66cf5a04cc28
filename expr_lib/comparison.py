"""Every method in one table: each learns under the same budget from the same people, with one Φ,
and is measured on the same pairs of unseen ones."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from expr_lib.config import change_settings
from expr_lib.errors import BadSetting, in_one_line
from expr_lib.expressions import ExpressionClassifier
from expr_lib.faceset import FaceSet
from expr_lib.files import only_one, read_json, write_json, write_text
from expr_lib.measures import measure
from expr_lib.measuring import embed_all
from expr_lib.methods.base import FaceBatch, Method
from expr_lib.methods.catalogue import CATALOGUE, Entry
from expr_lib.methods.controls import CopyTarget, WarpTarget
from expr_lib.methods.fusion import LandmarkFusion
from expr_lib.methods.painting import Painter
from expr_lib.methods.paper import PaperModel
from expr_lib.photos import as_grey
from expr_lib.planning import seconds_a_step
from expr_lib.runs import Run
from expr_lib.samples import SOURCE, TARGET, TRUTH, name_pairs

FOLDER = "comparison"
CONTROLS: dict[str, type[CopyTarget | WarpTarget]] = {"copy": CopyTarget, "warp": WarpTarget}


@dataclass(frozen=True)
class Comparison:
    """What `compare_methods` found.

    pairs     one row a method, seed and pair: rows of source, target and truth, person,
              expressions, and every measure of `measure`
    entries   the methods that were measured, in order
    images    photos that each learned method was shown
    failures  why a method, and a seed of it, has no row
    budget    the photos that were asked for; None for as many as the run's settings say
    absent    the methods that no seed of could be measured, each with its reason
    """

    pairs: pd.DataFrame
    entries: tuple[Entry, ...]
    images: int
    failures: dict[str, str] = field(default_factory=dict)
    budget: int | None = None
    absent: dict[Entry, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """Pairs of unseen people that all methods are asked for, in colour or in grey.

    triples  (M, 3) rows of source, target and truth
    """

    faces: FaceSet
    triples: np.ndarray
    source: FaceBatch
    target: FaceBatch
    truth: FaceBatch

    @classmethod
    def of(cls, run: Run, in_grey: bool = False, limit: int | None = None) -> Self:
        """Those that `evaluate` measures, or `limit` of the same kind."""
        faces, s = run.faces(), run.settings
        faces = faces.in_grey() if in_grey else faces
        triples = run.split().pairs("test", limit or s.evaluation.pairs, s.seed)
        batches = [FaceBatch.of(faces, triples[:, c], s.size) for c in (SOURCE, TARGET, TRUTH)]
        return cls(faces, triples, *batches)


@dataclass(frozen=True)
class Known:
    """What there is to know about these pairs before anything is painted.

    wanted      (M, 68, 2)  landmarks that the run's Φ fuses, crop widths
    codes       dlib's embedding (M, 128) of the truths, and of the sources
    classifier  knows the training people's landmarks
    """

    asked: Asked
    wanted: np.ndarray
    codes: tuple[np.ndarray, np.ndarray]
    classifier: ExpressionClassifier

    @classmethod
    def of(cls, run: Run, fusion: LandmarkFusion, in_grey: bool) -> Self:
        """Embed the photos, fuse the landmarks, teach the classifier."""
        asked = Asked.of(run, in_grey)
        codes = []
        for column in (TRUTH, SOURCE):
            rows, place = np.unique(asked.triples[:, column], return_inverse=True)
            once = FaceBatch.of(asked.faces, rows, run.settings.size)
            codes.append(embed_all(once.photos, once.points, run.jobs, "embedding photos")[place])
        learnt, words = run.split().train, asked.faces.table["expression"].to_numpy()
        classifier = ExpressionClassifier.fit(asked.faces.landmarks[learnt], words[learnt])
        wanted = fusion.fuse(asked.source.points, asked.target.points)
        return cls(asked, wanted, (codes[0], codes[1]), classifier)


def compare_methods(
    run: Run, chosen: Sequence[tuple[Entry, int]], images: int | None = None
) -> Comparison:
    """Train and measure methods in a run's folder `comparison`; what is finished is not done again.

    The run's own Φ serves all of them, but for those rows that change it. A method that fails is
    named with its reason, and the others go on.
    chosen  rows of the catalogue, and how many seeds of each: the run's own and those after it
    images  photos shown to each learned method; None for as many as the run's settings say
    raises  what stops every method: the run's faces, split or Φ; BadSetting when there is no run to
            start from; RunBusy, OutputFailed
    """
    start = run.settings.transfer.start
    if start is not None and not Path(start).is_dir():
        raise BadSetting(f"transfer.start = {start}: there is no such run")
    fusion = run.fusion()

    @cache
    def known(in_grey: bool) -> Known:  # nothing is embedded when every row is finished
        return Known.of(run, fusion, in_grey)

    parts, failures, entries, absent = [], {}, [], {}
    with only_one(run.folder / FOLDER):
        for entry, seeds in chosen:
            for number in range(seeds):
                seed = run.settings.seed + number
                name = f"{entry.name}-{seed}"
                print(f"method {entry.name}, seed {seed}", flush=True)
                try:
                    found = _measured(run, entry, seed, images, known)
                except Exception as error:  # the others must not be lost
                    reason = in_one_line(error)
                    print(f"note: {name} failed: {reason}", flush=True)
                    write_text(run.folder / FOLDER / name / "failure.txt", traceback.format_exc())
                    failures[name] = absent[entry] = reason
                else:
                    (run.folder / FOLDER / name / "failure.txt").unlink(missing_ok=True)
                    parts.append(found.assign(method=entry.name, seed=seed))
                    entries.append(entry)
    if not parts:
        raise BadSetting(f"no method could be measured; the first: {next(iter(failures.values()))}")
    return Comparison(
        pd.concat(parts, ignore_index=True),
        tuple(dict.fromkeys(entries)),
        images or _own_images(run),
        failures,
        images,
        {entry: reason for entry, reason in absent.items() if entry not in entries},
    )


def _own_images(run: Run) -> int:
    """Photos that a run's own settings show to its model."""
    own = run.settings.transfer
    return own.steps(len(run.split().samples(run.settings.seed, own.epoch))) * own.batch


def images_of(run: Run, budget: str) -> int:
    """Photos that a budget such as `20000images` or `3min` is.

    Minutes are those that the paper's model takes on this machine, measured once and then kept in
    the run, so that all methods are shown as many photos, today and tomorrow.
    raises  BadSetting for another text
    """
    number, unit = budget.rstrip("abcdefghijklmnopqrstuvwxyz"), budget.lstrip("0123456789.")
    try:
        amount = float(number)
    except ValueError:
        amount = 0.0
    if not 0 < amount < 1e9 or unit not in ("images", "min"):
        raise BadSetting(f"budget {budget!r}: write it such as 20000images or 3min")
    if unit == "images":
        return max(1, round(amount))
    path = run.folder / FOLDER / "budgets.json"
    kept = read_json(path) if path.is_file() else {}
    if budget not in kept:
        learner = PaperModel.learner(run.faces(), run.split(), run.fusion(), run.settings)
        kept[budget] = max(1, round(60 * amount / seconds_a_step(learner, 10))) * learner.batch
        write_json(path, kept)
    return int(kept[budget])


def job_of(run: Run, entry: Entry, seed: int, images: int | None) -> Run:
    """The run that trains a row: a folder of the run's comparison, or the run itself where that
    trains the same. A run that starts from another one's comparison starts from the same row."""
    overrides = [*entry.settings, f"seed={seed}"]
    if images is None and any(each.startswith("transfer.epoch=") for each in entry.settings):
        images = _own_images(run)  # its epoch is another one, and its budget the same
    if images is not None:
        overrides.append(f"transfer.images={images}")
    if run.settings.transfer.start is not None:
        overrides.append(f"transfer.start={_start_of(run, entry, seed)}")
    settings = change_settings(run.settings, overrides)
    if settings == run.settings:  # also when its budget is the comparison's
        return run
    return Run(
        run.folder / FOLDER / f"{entry.network or entry.name}-{seed}",
        settings,
        faces_at=run.faces_at,
        source=run.source,
        root=run.root,
        jobs=run.jobs,
        overwrite=run.overwrite,
        phi_of=run if settings.fusion == run.settings.fusion else None,
    )


def _start_of(run: Run, entry: Entry, seed: int) -> str:
    """What a row starts from: the same row in the comparison of the run that is named, or where the
    row is the run itself, that run."""
    start = Path(str(run.settings.transfer.start))
    row = start / FOLDER / f"{entry.name}-{seed}"
    if entry.group == "control":
        return "none"
    itself = entry.group == "paper" and seed == run.settings.seed
    return str(start if itself and not (row / "transfer").is_dir() else row)


def ready(run: Run, entry: Entry, seed: int, images: int | None) -> Method:
    """A row's method, trained now unless it is finished."""
    if control := CONTROLS.get(entry.network or entry.name):
        return WarpTarget(run.fusion()) if control is WarpTarget else CopyTarget()
    return job_of(run, _trained(entry), seed, images).model()


def _trained(entry: Entry) -> Entry:
    """The row whose networks a row uses."""
    return next(one for one in CATALOGUE if one.name == (entry.network or entry.name))


def generate(entry: Entry, method: Method, asked: Asked) -> np.ndarray:
    """A row's pictures (M, H, W, 3) uint8 of what is asked."""
    if entry.reaches == "truth":
        assert isinstance(method, Painter)
        results = method.generate(asked.source, asked.target, points=asked.truth.points)
    else:
        results = method.generate(asked.source, asked.target)
    return as_grey(results) if entry.in_grey else results


def _measured(
    run: Run, entry: Entry, seed: int, images: int | None, known_of: Callable[[bool], Known]
) -> pd.DataFrame:
    """Every measure of a row; read where it is finished."""
    job = job_of(run, _trained(entry), seed, images)
    stages = Run(run.folder / FOLDER / f"{entry.name}-{seed}", job.settings, faces_at=run.faces_at)
    inputs = {
        **job.transfer_inputs(run.faces()),
        "entry": [entry.network, entry.reaches, entry.in_grey],
        "evaluation": run.settings.evaluation.model_dump(mode="json"),
    }
    with stages.stage("measured", inputs, replace=True) as (folder, finished):
        path = folder / "pairs.csv"
        if finished and path.is_file():
            return pd.read_csv(path, dtype={"person": str})  # London's are called 001
        known = known_of(entry.in_grey)
        asked = known.asked
        results = generate(entry, ready(run, entry, seed, images), asked)
        about = name_pairs(asked.faces.table, asked.triples)
        measured = measure(
            results,
            asked.truth,
            known.codes[0],
            known.wanted,
            source_codes=known.codes[1],
            classifier=known.classifier,
            words=about["to"].to_numpy(),
            window=run.settings.evaluation.ssim_window,
            jobs=run.jobs,
            title=entry.title,
        )
        found = pd.concat([about, measured], axis=1)
        write_text(path, found.to_csv(index=False))
    return found
