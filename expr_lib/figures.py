"""The figures of the paper and a few more. Each function returns a matplotlib Figure; nothing is
shown or kept open."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from expr_lib.faceset import FaceSet
from expr_lib.methods.base import FaceBatch, Method
from expr_lib.methods.painting import Painter
from expr_lib.photos import EXPRESSIONS
from expr_lib.points import CLOSED_PARTS, LANDMARK_PARTS
from expr_lib.samples import SOURCE, TARGET, TRUTH
from expr_lib.splits import PARTS, Split

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
"""Okabe and Ito's palette, told apart by colour-blind readers too."""
_PANELS = 3  # of bars beside each other


def _picture(axes: Axes, photo: np.ndarray, title: str = "", side: str = "") -> None:
    axes.imshow(photo)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if title:
        axes.set_title(title, fontsize=9)
    if side:
        axes.set_ylabel(side, fontsize=8)


def transfer_grid(
    faces: FaceSet, split: Split, model: Painter, seen: int = 2, unseen: int = 4
) -> Figure:
    """Figures 3 and 4: sources across the top, targets down the side; rows of seen and unseen
    people, or photos, are marked.

    Each source is another unseen person showing another expression, and no target's person where
    there are people enough; each target is as neutral as the set allows.
    """
    known, new = (faces.table.iloc[rows] for rows in (split.train, split.test))
    people = {"seen": split.people("train"), "unseen": split.people("test")}
    shown = {"seen": _spread(people["seen"], seen), "unseen": _spread(people["unseen"], unseen)}
    others = [person for person in people["unseen"] if person not in shown["unseen"]]
    words = [word for word in EXPRESSIONS if (new["expression"] == word).any()]
    sources = [
        _photo_of(new, others or people["unseen"], word, skip=i) for i, word in enumerate(words)
    ]
    columns = [row for row in sources if row is not None]
    targets = [
        (row, label)
        for (label, chosen), photos in zip(shown.items(), (known, new), strict=True)
        for person in chosen
        if (row := _photo_of(photos, (person,), "neutral")) is not None
    ]
    size = model.settings.size
    source = FaceBatch.of(faces, np.array(columns), size)
    figure = Figure(
        figsize=(1.25 * (len(columns) + 1), 1.35 * (len(targets) + 1)), layout="constrained"
    )
    grid = figure.subplots(len(targets) + 1, len(columns) + 1, squeeze=False)
    grid[0, 0].axis("off")
    grid[0, 0].text(0.5, 0.5, "source →\ntarget ↓", ha="center", va="center", fontsize=9)
    for j, row in enumerate(columns):
        _picture(grid[0, j + 1], source.photos[j], title=faces.table["expression"].iloc[row])
    for i, (row, label) in enumerate(targets):
        target = FaceBatch.of(faces, np.full(len(columns), row), size)
        _picture(grid[i + 1, 0], target.photos[0], side=label)
        for j, result in enumerate(model.generate(source, target)):
            _picture(grid[i + 1, j + 1], result)
    return figure


def _photo_of(table: pd.DataFrame, people: Sequence[str], word: str, skip: int = 0) -> int | None:
    """Row of a photo with an expression, of the `skip`-th of these people; any photo of them when
    none has it."""
    of_people = table[table["person"].isin(people)]
    wanted = of_people[of_people["expression"] == word]
    chosen = (wanted if len(wanted) else of_people).drop_duplicates("person")
    return int(chosen.index[skip % len(chosen)]) if len(chosen) else None


def _spread(people: Sequence[str], count: int) -> list[str]:
    places = np.linspace(0, len(people) - 1, min(count, len(people))).round().astype(int)
    return [people[i] for i in places]


def comparison_grid(
    faces: FaceSet, split: Split, methods: Sequence[Method], model: Painter, rows: int = 6
) -> Figure:
    """Transfers between unseen people: source, target, one column a method, and the truth."""
    settings = model.settings
    triples = split.pairs("test", rows, settings.seed)
    source, target, truth = (
        FaceBatch.of(faces, triples[:, column], settings.size) for column in (SOURCE, TARGET, TRUTH)
    )
    columns = [("source", source.photos), ("target", target.photos)]
    columns += [(method.title, method.generate(source, target)) for method in methods]
    columns.append(("truth", truth.photos))
    words = faces.table["expression"].to_numpy()
    sides = [f"{words[given]} →\n{words[wanted]}" for given, wanted in triples[:, [TARGET, SOURCE]]]
    return photo_columns(columns, sides)


def photo_columns(columns: Sequence[tuple[str, np.ndarray]], sides: Sequence[str]) -> Figure:
    """Photos in titled columns.

    columns  title and photos (N, H, W, 3) uint8
    sides    what stands beside each of the N rows
    """
    figure = Figure(figsize=(1.6 * len(columns), 1.65 * len(sides)), layout="constrained")
    grid = figure.subplots(len(sides), len(columns), squeeze=False)
    for j, (title, photos) in enumerate(columns):
        for i, photo in enumerate(photos):
            _picture(grid[i, j], photo, title=fill(title, 18) if i == 0 else "")
    for i, side in enumerate(sides):
        grid[i, 0].set_ylabel(side, fontsize=8)
    return figure


COLOURS = {
    "control": "#999999",
    "rival": ORANGE,
    "paper": BLUE,
    "ablation": "#56B4E9",
    "ours": GREEN,
    "step": "#8FD3BC",
}
"""Okabe and Ito's, for the kinds of methods."""


def method_bars(
    table: pd.DataFrame, titles: Mapping[str, str], groups: Mapping[str, str], measures: Sequence
) -> Figure:
    """One panel a measure: each method's mean with its 95 % interval, coloured by its kind.

    table     a row a method and measure: mean, low, high
    titles    what methods are called, in order
    groups    kind of each title, see COLOURS
    measures  as many as fill rows of three
    """
    lines = len(measures) // _PANELS
    size = 2.8 * _PANELS, lines * (0.9 + 0.2 * len(titles))
    figure = Figure(figsize=size, layout="constrained")
    names = list(titles)[::-1]
    grid = figure.subplots(lines, _PANELS, sharey=True, squeeze=False)
    for axes, measure in zip(grid.flat, measures, strict=True):
        rows = table[table["measure"] == measure.name].set_index("method").loc[names]
        colours = [COLOURS[groups[titles[name]]] for name in names]
        middle, low, high = (rows[column].to_numpy() for column in ("mean", "low", "high"))
        axes.errorbar(
            middle,
            range(len(names)),
            xerr=[middle - low, high - middle],
            fmt="none",
            ecolor="black",
        )
        axes.scatter(middle, range(len(names)), c=colours, zorder=3)
        axes.set_yticks(range(len(names)), [titles[name] for name in names], fontsize=8)
        axes.grid(axis="x", alpha=0.3)
        arrow = {1: "→", -1: "←"}.get(measure.better, "1 is best")
        axes.set_title(f"{measure.title} ({arrow} better)", fontsize=8)
        axes.tick_params(axis="x", labelsize=7)
    return figure


def landmark_overlays(faces: FaceSet, split: Split, model: Painter, rows: int = 4) -> Figure:
    """Source and target with their landmarks, the fused ones over the target, and the truth's
    beside them."""
    settings = model.settings
    triples = split.pairs("test", rows, settings.seed)
    source, target, truth = (
        FaceBatch.of(faces, triples[:, column], settings.size) for column in (SOURCE, TARGET, TRUTH)
    )
    fused = model.fuse(source, target)
    figure = Figure(figsize=(8.4, 2.15 * len(triples)), layout="constrained")
    grid = figure.subplots(len(triples), 4, squeeze=False)
    titles = ("source", "target", "target, fused", "truth: true, fused")
    for i in range(len(triples)):
        shown = (
            (source.photos[i], [(source.points[i], BLUE)]),
            (target.photos[i], [(target.points[i], BLUE)]),
            (target.photos[i], [(fused[i], ORANGE)]),
            (truth.photos[i], [(truth.points[i], BLUE), (fused[i], ORANGE)]),
        )
        for j, (photo, drawings) in enumerate(shown):
            _picture(grid[i, j], photo, title=titles[j] if i == 0 else "")
            for points, colour in drawings:
                plot_landmarks(grid[i, j], points, settings.size, colour)
    return figure


def plot_landmarks(axes: Axes, points: np.ndarray, size: int, colour: str = BLUE) -> None:
    """Draw landmarks (68, 2), crop widths, over a picture of `size` pixels, each face part a
    line."""
    pixels = points * size - 0.5
    for part, indices in LANDMARK_PARTS.items():
        path = [*indices, indices[0]] if part in CLOSED_PARTS else list(indices)
        axes.plot(pixels[path, 0], pixels[path, 1], color=colour, linewidth=1)


def quality_curves(curve: pd.DataFrame, table: pd.DataFrame | None = None) -> Figure:
    """Figures 5 and 6: SSIM and PSNR of test and validation people against epochs; dashed lines are
    the controls on test people, a ring is the state that was kept.

    curve  curve.csv of stage 2
    table  table.csv of the evaluation: its controls are measured on more pairs than the curve
    """
    figure = Figure(figsize=(9, 3), layout="constrained")
    panels = figure.subplots(1, 2)
    kept = curve[curve["kept"]]
    for axes, (name, title) in zip(panels, (("ssim", "SSIM"), ("psnr", "PSNR, dB")), strict=True):
        for part, style in zip(PARTS[1:], (":", "-"), strict=True):
            values = f"{part}_{name}"
            axes.plot(curve["epochs"], curve[values], style, marker=".", color=BLUE, label=part)
            axes.plot(kept["epochs"], kept[values], "o", color=BLUE, fillstyle="none", ms=9)
        if table is not None:
            for method, colour in (("copy", ORANGE), ("warp", GREEN)):
                mean = table[(table["method"] == method) & (table["measure"] == name)]["mean"]
                if len(mean):
                    axes.axhline(float(mean.iloc[0]), color=colour, linestyle="--", label=method)
        axes.set_xlabel("epochs")
        axes.set_ylabel(title)
        axes.legend(fontsize=8)
    return figure


def loss_curves(losses: pd.DataFrame, title: str) -> Figure:
    """Each loss of a stage against the photos shown.

    losses  metrics.csv of the stage
    """
    names = [c for c in losses.columns if c not in ("step", "images", "seconds")]
    figure = Figure(figsize=(3.2 * len(names), 2.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.plot(losses["images"], losses[name], color=BLUE, linewidth=0.6, alpha=0.5)
        smooth = losses[name].rolling(max(1, len(losses) // 20), min_periods=1, center=True).mean()
        axes.plot(losses["images"], smooth, color=BLUE)
        axes.set_title(f"{title}: {name}", fontsize=9)
        axes.set_xlabel("photos shown")
    return figure
