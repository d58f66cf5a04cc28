"""Stage 1 on real faces with eight expressions: every way to fuse landmarks, on people unseen in
training.

    python benchmarks/fusion_rafd.py [--landmarks FILE] [--folds 5] [--images 120000] [--jobs 2]
    python benchmarks/fusion_rafd.py --people 4,8,16,24,32

FILE holds landmarks of RaFD's frontal camera as published with FReeNet: 106 points of each photo,
people x 8 expressions x 3 gazes. Faces are aligned by their eye centres. In each fold a fifth of
the people is unseen; of those that are left one in eight chooses the state that is kept and what
share ridge regression has in the small Φ, and all gazes of the others are learnt from. Measured are
all pairs of two unseen people with different expressions that look ahead: mean distance of the
points in % of the distance between the eye centres. With five folds everyone is measured once. The
bar: the small Φ errs at most 0.95 times as much as ridge regression, and the 95 % interval of the
ratio excludes 1. With --people each method learns from so many of the training people only, evenly
taken from all, and one row for each number says what more people are worth; Φ is shown as many
faces as with all of them.
"""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

sys.path.insert(0, str(Path(__file__).parents[1]))

from expr_lib.config import RunSettings, load_settings
from expr_lib.fusing import (
    FusionComparison,
    faces_shown,
    fusion_as_markdown,
    fusion_methods,
    measure_fusion,
    summarise_fusion,
)
from expr_lib.methods.landmark_controls import Fitted, FusionMethod
from expr_lib.photos import photo_table
from expr_lib.points import Layout
from expr_lib.pointset import Landmarked, PointSet, points_of
from expr_lib.samples import TRUTH
from expr_lib.splits import Split, split_photos
from expr_lib.tables import as_markdown, interval_as_text
from expr_lib.workers import in_processes

EYES = ((52, 55), (58, 61))
"""Corners of the right eye (left in the photo) and of the left one."""
PARTS = {
    "mouth": tuple(range(84, 104)),
    "brows": (*range(33, 43), *range(64, 72)),
    "eyes": (*range(52, 64), *range(72, 78)),
    "jaw": tuple(range(33)),
}
WANTED = np.array([(93, 100), (163, 100)]) / 256
"""Where the eye centres of an aligned face are, crop widths."""
BAR = 0.95
GROWTH = (
    ("ridge", "face", 2),
    ("alone", "face", 2),
    ("own", "face", 2),
    ("alone", "ratio", 3),
    ("own", "ratio", 3),
)
"""Columns of the table over numbers of people: method, value, digits."""


def align(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Move, turn and scale faces so that their eye centres lie at WANTED.

    points   (N, 106, 2)  any unit
    returns  (N, 106, 2)  crop widths
    """
    flat = points[..., 0] + 1j * points[..., 1]
    right, left = (flat[:, list(corners)].mean(1, keepdims=True) for corners in EYES)
    goal = WANTED[:, 0] + 1j * WANTED[:, 1]
    moved = (flat - right) / (left - right) * (goal[1] - goal[0]) + goal[0]
    return np.stack([moved.real, moved.imag], -1).astype(np.float32)


def layout_of(points: NDArray[np.floating]) -> Layout:
    """The numbering of the 106 landmarks; the mirror is found as the assignment that brings the
    mirrored mean face nearest to itself.

    points  (N, 106, 2)  aligned, crop widths
    raises  ValueError when that is no mirror
    """
    mean = points.mean(0)
    mirrored = mean * [-1, 1] + [1, 0]
    distance = np.linalg.norm(mean[:, None] - mirrored[None], axis=-1)
    mirror = linear_sum_assignment(distance**2)[1]
    return Layout(len(mean), tuple(mirror.tolist()), EYES, PARTS)


def load(path: Path) -> PointSet:
    """All photos of the file, aligned."""
    with np.load(path) as file:
        names = ("image", "identity", "expression", "gaze")
        columns = {name: file[name].tolist() for name in names}
        points = align(file["points"].astype(float))
    rows = [
        {"path": path, "person": person, "expression": word, "gaze": gaze}
        for path, person, word, gaze in zip(*columns.values(), strict=True)
    ]
    table = photo_table(rows)
    place = {path: row for row, path in enumerate(columns["image"])}
    points = points[[place[path] for path in table["path"]]]
    return PointSet(points, table, layout_of(points))


def parts_of(faces: PointSet, fold: int, people: int | None = None) -> tuple[PointSet, Split]:
    """A fold: all gazes of those to learn from (so many, or all), the others as they look ahead.

    raises  ValueError when there are fewer to learn from
    """
    split = split_photos(faces.table, fold=fold, source_gaze="any")
    learners = split.people("train")
    if people is not None:
        if people > len(learners):
            raise ValueError(f"fold {fold} has {len(learners)} people to learn from, not {people}")
        places = np.linspace(0, len(learners) - 1, people).round().astype(int)
        learners = tuple(np.array(learners)[places])
    ahead = (split.parts != "train") & (faces.table["gaze"] == "frontal").to_numpy()
    kept = faces.table["person"].isin(learners).to_numpy() | ahead
    table = faces.table[kept].reset_index(drop=True)
    some = PointSet(faces.landmarks[kept], table, faces.layout)
    return some, Split(table, split.parts[kept], gaze="any")


class RepeatShot(FusionMethod):
    """The truth photographed again, looking aside: what no method can get below by much."""

    name, title = "repeat", "the truth again, looking aside"
    needs = "the answer"

    def __init__(self, everything: PointSet, gaze: str) -> None:
        self.everything, self.gaze = everything, gaze

    def fuse(self, faces: Landmarked, triples: NDArray[np.int64]) -> np.ndarray:
        """The same person, expression and camera with the other gaze."""
        wanted = faces.table[["person", "expression", "yaw"]].iloc[triples[:, TRUTH]]
        return points_of(self.everything, wanted.assign(gaze=self.gaze))


def measure_fold(
    fold: int,
    faces: PointSet,
    settings: RunSettings,
    images: int,
    folder: Path,
    people: int | None = None,
) -> tuple[pd.DataFrame, list[FusionMethod]]:
    """Fit all methods on a fold's training people, and measure them on all pairs of the others."""
    torch.set_num_threads(1)
    some, split = parts_of(faces, fold, people)
    if people is not None:
        shown, _ = faces_shown(settings, parts_of(faces, fold)[1])
        budget = {"epochs": None, "images": shown}
        fusion = settings.fusion.model_copy(update=budget)
        settings = settings.model_copy(update={"fusion": fusion})
    fitted = fusion_methods(some, split, settings, folder / str(fold), images=images)
    methods = [RepeatShot(faces, "left"), *fitted]
    triples = split.pairs("test", sys.maxsize, settings.seed)
    return measure_fusion(some, triples, methods).assign(fold=fold), methods


def curves(folder: Path, folds: list[int], methods: list[FusionMethod]) -> str:
    """Learning curves as Markdown: mean over the folds of the error on up to 2000 test pairs."""
    lines = []
    titles = {"printed": "Φ as printed", "own": "Φ, small, alone", "freenet": "FReeNet's converter"}
    for name in [method.name for method in methods if method.name in titles]:
        known = [pd.read_csv(folder / str(fold) / name / "curve.csv") for fold in folds]
        of_step = pd.concat(known).groupby(level=0)[["images", "test_error"]].mean()
        head = [f"{titles[name]}: faces shown", *(f"{n:.0f}" for n in of_step["images"])]
        errors = ["error %", *(f"{error:.2f}" for error in of_step["test_error"])]
        lines.append(as_markdown(head, [errors]))
    return "\n".join(lines)


def table_of(
    pairs: pd.DataFrame, methods: list[FusionMethod], faces: PointSet, settings: RunSettings
) -> tuple[str, pd.Series]:
    """The table as Markdown, and the small Φ's row."""
    summary = summarise_fusion(pairs, methods, faces.layout, settings)
    titles = {"own": "Φ, small, with ridge", "alone": "Φ, small, alone"}
    summary["title"] = summary["method"].map(titles).fillna(summary["title"])
    own = summary.set_index("method").loc["own"]
    return fusion_as_markdown(FusionComparison(pairs, summary), faces.layout), own


def growth(
    faces: PointSet, settings: RunSettings, folds: list[int], counts: list[int], jobs: int
) -> str:
    """What more people to learn from are worth, as Markdown: errors and ratios to ridge."""
    for fold in folds:  # what cannot be done is told before anything is trained
        parts_of(faces, fold, max(counts))
    rows = []
    for people in counts:
        with tempfile.TemporaryDirectory() as folder:
            work = partial(
                measure_fold,
                faces=faces,
                settings=settings,
                images=0,
                folder=Path(folder),
                people=people,
            )
            done = list(in_processes(work, folds, jobs, title=f"{people} people", unit="fold"))
        pairs = pd.concat([found for found, _ in done], ignore_index=True)
        found = summarise_fusion(pairs, done[0][1], faces.layout, settings).set_index("method")
        row = [str(people)]
        for name, value, digits in GROWTH:
            low, high = found.loc[name, [f"{value}_low", f"{value}_high"]]
            row.append(interval_as_text(found.loc[name, value], low, high, digits))
        rows.append(row)
    head = ["people", "ridge %", "Φ alone %", "with ridge %", "alone / ridge", "with / ridge"]
    return as_markdown(head, rows)


def whole_numbers(text: str) -> list[int]:
    """Numbers of people, at least two: with one there is nobody to transfer from."""
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 2:
        raise argparse.ArgumentTypeError("at least two people are needed to learn from")
    return numbers


def main() -> None:
    """Print both tables and the learning curves."""
    root = Path(__file__).parents[1]
    shared = root.parent / "shared" / "data" / "rafd_landmarks" / "rafd_frontal_106.npz"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--landmarks", type=Path, default=shared)
    parser.add_argument("--folds", type=int, default=5, help="how many of the five, from the first")
    parser.add_argument("--folder", type=Path, help="where networks are kept; by default nowhere")
    parser.add_argument(
        "--images",
        type=int,
        default=120_000,
        help="faces that Φ as printed and FReeNet's converter are shown; 0 leaves both out",
    )
    parser.add_argument(
        "--people",
        type=whole_numbers,
        help="numbers of people to learn from, such as 4,8,16; without --images and --folder",
    )
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if not options.landmarks.is_file():
        sys.exit(f"no landmarks at {options.landmarks}: give the file with --landmarks")
    faces, settings = load(options.landmarks), load_settings("laptop", ["threads=1"])
    folds, start = list(range(options.folds)), time.perf_counter()
    if options.people:
        try:
            print(growth(faces, settings, folds, options.people, options.jobs))
        except ValueError as error:
            sys.exit(f"--people: {error}")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        work = partial(
            measure_fold, faces=faces, settings=settings, images=options.images, folder=folder
        )
        done = list(in_processes(work, folds, options.jobs, title="folds", unit="fold"))
        methods = done[0][1]
        told = curves(folder, folds, methods)
    pairs = pd.concat([found for found, _ in done], ignore_index=True)
    text, own = table_of(pairs, methods, faces, settings)
    count, people = len(pairs) // len(methods), pairs["person"].nunique()
    print(f"{count} pairs of {people} unseen people in {len(folds)} folds, in % of the distance")
    print(f"between the eye centres, with 95 % intervals over people:\n\n{text}")
    neutral, _ = table_of(pairs[pairs["from"] == "neutral"], methods, faces, settings)
    print(f"Of these the pairs with a neutral target:\n\n{neutral}")
    print(f"Learning curves, means over folds of up to 2000 test pairs:\n\n{told}")
    passed = own["ratio"] <= BAR and own["ratio_high"] < 1
    shares = [
        f"{method.fusion.network.get_buffer('share').item():.1f}"
        for _, fitted in done
        for method in fitted
        if isinstance(method, Fitted) and method.name == "own"
    ]
    print(f"Share of ridge regression in the small Φ, by fold: {', '.join(shares)}\n")
    print(f"small Φ / ridge = {own['ratio']:.3f}: {'within' if passed else 'beyond'} {BAR}")
    print(f"{time.perf_counter() - start:.0f} s, PyTorch {torch.__version__}, {options.jobs} jobs")


if __name__ == "__main__":
    main()
