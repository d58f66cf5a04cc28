"""What a run would take: steps, memory and time, measured on a few photos and a few steps."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch

from expr_lib.config import RunSettings
from expr_lib.errors import TooFewPeople
from expr_lib.faceset import FaceSet, prepare
from expr_lib.methods.fusion import FusionLearner, LandmarkFusion, build_fusion
from expr_lib.methods.painting import model_of
from expr_lib.methods.paper import TransferLearner
from expr_lib.photos import photo_table
from expr_lib.processes import choose_device, choose_threads
from expr_lib.provenance import describe_device
from expr_lib.sources import PhotoSource, load_photos
from expr_lib.sources.synthetic import synthesize
from expr_lib.sources.synthetic.layout import person_name
from expr_lib.splits import FOLDS, PARTS, Split, split_photos
from expr_lib.training import Learner

_WORDS = 3
"""Expressions of each person in the sample."""
_STEPS = {"fusion": 20, "transfer": 2}
"""Steps that are measured, after one that is not."""


def plan(settings: RunSettings, source: str, root: Path | None, jobs: int = 2) -> str:
    """Say what a run would do and take; a few photos are prepared and a few steps trained, and
    nothing is kept.

    returns  a few lines: photos, steps of both stages, memory, time
    raises   what the run itself would raise about its source, people or settings
    """
    if settings.transfer.start is not None:
        model_of(settings.transfer.start)
    torch.set_num_threads(choose_threads(settings.threads))
    with tempfile.TemporaryDirectory() as folder:
        photos, sample, drawing = _photos(settings, source, root, Path(folder), jobs)
        start = time.perf_counter()
        faces = prepare(
            sample,
            Path(folder) / "faces",
            size=settings.size,
            jobs=1,
            landmarks=settings.landmarks,
            progress=False,
        )
        preparing = (time.perf_counter() - start) / len(sample.table)
        few = split_photos(faces.table, fold=settings.fold)
        fusion, seconds = _plan_fusion(faces, few, settings)
        transfer = TransferLearner(faces, few, fusion, settings)
        seconds["transfer"] = seconds_a_step(transfer, _STEPS["transfer"])
        memory = _memory()
    split = split_photos(photos.table, settings.split, settings.fold, settings.source_gaze)
    memory += len(split.train) * settings.size**2 * 3
    times = {"faces": len(photos.table) * (drawing + preparing) / jobs}
    lines = [
        f"preset {settings.preset}, source {source}, {settings.size} pixels, "
        f"{describe_device()}, threads: {torch.get_num_threads()}",
        f"photos: {len(photos.table)} of {photos.table['person'].nunique()} people; "
        + ", ".join(
            f"{part} {len(rows)} of {len(split.people(part))}"
            for part, rows in zip(PARTS, (split.train, split.validation, split.test), strict=True)
        ),
    ]
    for name, budget in (("fusion", settings.fusion), ("transfer", settings.transfer)):
        if name not in seconds:
            lines.append(f"{name}: ridge regression, solved at once")
            continue
        triples = len(split.samples(settings.seed, budget.epoch))
        steps = budget.steps(triples)
        times[name] = steps * seconds[name]
        lines.append(
            f"{name}: {steps} steps of {budget.batch} photos, "
            f"{steps * budget.batch / triples:.1f} epochs of {triples} {budget.epoch}, "
            f"{1000 * seconds[name]:.0f} ms a step"
        )
    if settings.fusion.model == "blend":
        lines.append("ridge regression beside fusion, solved at once")
    kind = "GPU memory" if choose_device().type == "cuda" else "memory"
    lines.append(f"{kind}: about {memory / 2**30:.1f} GiB at most while training")
    told = ", ".join(f"{name} {_clock(value)}" for name, value in times.items())
    lines.append(
        f"time: about {_clock(sum(times.values()))} ({told}), and some minutes of looking at "
        "pictures, evaluation and chapters"
    )
    return "\n".join(lines)


def _photos(
    settings: RunSettings, source: str, root: Path | None, folder: Path, jobs: int
) -> tuple[PhotoSource, PhotoSource, float]:
    """All photos, a sample of them, and the seconds that drawing one takes."""
    if source != "synthetic" or root is not None:
        photos = load_photos(source, root, settings.photos)
        split_photos(photos.table, settings.split, settings.fold)
        return photos, _sample(photos, settings.fold), 0.0
    s = settings.synthetic
    rows: list[dict[str, Any]] = [
        {"path": f"{person_name(number)}_{word}.png", "person": person_name(number)}
        | {"expression": word}
        for number in range(s.people)
        for word in s.expressions
    ]
    photos = PhotoSource(photo_table(rows), name=source)
    split_photos(photos.table, settings.split, settings.fold)
    start = time.perf_counter()
    words = s.expressions[:_WORDS]
    synthesize(folder / "drawn", FOLDS + 1 + settings.fold, words, s.size, jobs=1, progress=False)
    drawn = load_photos("synthetic", folder / "drawn")
    seconds = (time.perf_counter() - start) / len(drawn.table)
    return photos, drawn, seconds


def _sample(photos: PhotoSource, fold: int) -> PhotoSource:
    """A few photos: of the people who show most, so many that two of them are unseen, each with
    the same few expressions."""
    table = photos.table[photos.table["gaze"] == "frontal"]
    table = table[table["yaw"] == table["yaw"].abs().min()]
    strongest = table.sort_values("intensity", kind="stable").groupby(
        ["person", "expression"], sort=True
    )
    rows = strongest.tail(1)
    words = rows["expression"].value_counts().index[:_WORDS]
    rows = rows[rows["expression"].isin(words)]
    people = rows["person"].value_counts(sort=True).index[: FOLDS + 1 + fold]
    kept = np.sort(rows.index[rows["person"].isin(people)].to_numpy())
    if len(kept) == 0:
        raise TooFewPeople("no photo looks ahead, so that no run can be planned; add photos")
    landmarks = None if photos.landmarks is None else photos.landmarks[kept]
    chosen: pd.DataFrame = photos.table.loc[kept].reset_index(drop=True)
    return replace(photos, table=chosen, landmarks=landmarks)


def _plan_fusion(
    faces: FaceSet, few: Split, settings: RunSettings
) -> tuple[LandmarkFusion, dict[str, float]]:
    """A stage 1 to feed stage 2, and what a step of its training takes if there are steps."""
    if settings.fusion.model == "ridge":
        return LandmarkFusion(build_fusion(settings.fusion)), {}
    learner = FusionLearner(faces, few, settings)
    seconds = seconds_a_step(learner, _STEPS["fusion"])
    return LandmarkFusion(learner.trained), {"fusion": seconds}


def seconds_a_step(learner: Learner, steps: int) -> float:
    """How long a step takes, mean of some after one that is not counted; the networks learn."""
    learner.step(0)
    _wait()
    start = time.perf_counter()
    for step in range(1, steps + 1):
        learner.step(step)
    _wait()
    return (time.perf_counter() - start) / steps


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _memory() -> int:
    """Bytes in use at most so far: of the GPU, else of this process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return int(psutil.Process().memory_info().rss)


def _clock(seconds: float) -> str:
    """Seconds in words: 40 s, 12 min, 3.5 h, 2.1 days."""
    for unit, size in (("days", 86400), ("h", 3600)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
