"""The comparison as tables and pictures: comparison.csv, table.md, table.tex, grids and bars."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from expr_lib import figures
from expr_lib.comparison import CONTROLS, FOLDER, Asked, Comparison, generate, ready
from expr_lib.files import whole_file, write_text
from expr_lib.fusing import compare_fusion, faces_shown, fusion_as_markdown
from expr_lib.measures import ALL_MEASURES, MEASURES, PERCEPTUAL_LEFT_OUT, Measure
from expr_lib.methods.catalogue import Entry
from expr_lib.printed import beside_printed
from expr_lib.runs import Run
from expr_lib.samples import SOURCE, TARGET
from expr_lib.statistics import KEYS, paired_tests, rank_stability, summarise_methods
from expr_lib.tables import as_latex, as_markdown, interval_as_text, what_is_bold

EVERY = tuple(measure for group in ALL_MEASURES.values() for measure in group)
REFERENCE = "paper"
GRID, BARS = "grid.png", "bars.png"
GRIDS_OF_CHANGES = {
    "paper": ("ablation", "grid_ablations.png"),
    "retouch": ("step", "grid_steps.png"),
}
"""Method -> the group of rows that change one thing of it, and the grid that shows them beside
it."""


def write_comparison(run: Run, found: Comparison, against: Sequence[str] = (REFERENCE,)) -> str:
    """Write everything into the run's folder `comparison`.

    Files: pairs.csv, comparison.csv (a row a method and measure), tests.csv (each method against
    the references), ranks.csv (where there is more than one seed), fusion.csv, table.md, table.tex,
    grid.png, grid_ablations.png, grid_steps.png, bars.png.
    against  the references: methods that each other one is tested against; one that was not
             measured is passed over
    returns  table.md
    raises   OutputFailed
    """
    folder, s = run.folder / FOLDER, run.settings
    fusion = compare_fusion(run.faces(), run.split(), s, folder / "fusion", fusion=run.fusion())
    table = summarise_methods(found.pairs, EVERY, s.evaluation.resamples, s.seed)
    texts = [_opening(run, found), *_tables(found, table)]
    files = {"pairs.csv": found.pairs, "comparison.csv": _about(found, table)}
    files["fusion.csv"] = fusion.summary
    measured = _titles(found)
    if len(measured) > 1 and (references := [name for name in against if name in measured]):
        tests = [_tested(run, found, reference) for reference in references]
        files["tests.csv"] = pd.concat(tests, ignore_index=True)
        for each in tests:
            texts += _differences(found, each)
    if len(ranks := _several_seeds(found)):
        stability = rank_stability(ranks, MEASURES)
        files["ranks.csv"] = stability.by_seed
        texts += _stability(found, stability.spread, stability.agreement)
    own, rivals = faces_shown(s, run.split())
    to_own = f"{own:,} to Φ of the run, " if s.fusion.model != "ridge" else ""
    texts += [
        "Stage 1 alone: error of the fused landmarks to the truth's, on the same pairs. "
        f"Faces shown: {to_own}{rivals:,} to Φ as printed and to the converter.\n",
        fusion_as_markdown(fusion, run.faces().layout),
        beside_printed(table, _titles(found), _conditions(run, found)),
    ]
    for name, each in files.items():
        write_text(folder / name, each.to_csv(index=False))
    markdown = "\n".join(texts)
    write_text(folder / "table.md", markdown)
    write_text(folder / "table.tex", _latex(found, table))
    for name, figure in draw_pictures(run, found, table).items():
        with whole_file(folder / name) as temporary:
            figure.savefig(temporary, dpi=110)
    return markdown


def _titles(found: Comparison) -> dict[str, str]:
    return {entry.name: entry.title for entry in found.entries}


def _conditions(run: Run, found: Comparison) -> str:
    faces, pairs = run.faces(), found.pairs
    people = pairs["person"].nunique()
    return (
        f"{run.settings.size} pixels, source {faces.card['source']}, preset {run.settings.preset}, "
        f"{found.images} photos shown, {len(pairs.drop_duplicates(['source', 'target']))} pairs of "
        f"{people} people"
    )


def _opening(run: Run, found: Comparison) -> str:
    lines = [
        f"Every learned method was shown {found.images} photos of the same people; measured on "
        f"people unseen in training ({_conditions(run, found)}). One Φ fuses the landmarks for all "
        "but the rows that change it. Mean over people [95 % interval].",
        "",
        PERCEPTUAL_LEFT_OUT,
        "",
    ]
    for name, reason in found.failures.items():
        lines += [f"{name} failed: {reason}", ""]
    return "\n".join(lines)


def _tables(found: Comparison, table: pd.DataFrame) -> list[str]:
    ceiling = found.pairs["recognised_truth"].mean()
    captions = {
        "image": "As pictures: on the whole crop, in the face and in the mouth's box; sharpness "
        "beside the truth's, 1 is as sharp.",
        "expression": "Expression: landmark errors in % of the eye distance; how often a "
        "classifier that knows real faces only names the wanted expression (in the true photos' "
        f"own points: {ceiling:.2f}).",
        "identity": "Whose face: distance of dlib's embedding to the truth's; the leak is above 0 "
        "where a result is nearer to the source's person than the truth is.",
    }
    return [
        f"{captions[group]}\n\n{as_markdown(*_rows(found, table, measures))}"
        for group, measures in ALL_MEASURES.items()
    ]


def _rows(
    found: Comparison, table: pd.DataFrame, measures: Sequence[Measure]
) -> tuple[list[str], list[list[object]]]:
    cells = table.set_index(["method", "measure"])
    seeds = found.pairs.groupby("method")["seed"].nunique()
    seen = found.pairs.groupby("method")["found"].mean()
    notes = _notes(found, table)
    head = ["method", "needs", "seeds", *(m.title for m in measures), "faces found", "note"]
    rows: list[list[object]] = []
    for entry in found.entries:
        told = [_cell(cells.loc[(entry.name, m.name)], "mean", m.decimals) for m in measures]
        facts = (entry.title, entry.needs or "-", seeds[entry.name])
        rows.append([*facts, *told, f"{seen[entry.name]:.0%}", notes[entry.name]])
    for entry in found.absent:
        nothing = ["-"] * (len(measures) + 1)
        rows.append([entry.title, entry.needs or "-", 0, *nothing, notes[entry.name]])
    return head, rows


def _notes(found: Comparison, table: pd.DataFrame) -> dict[str, str]:
    """What the table says about each method: its entry's note, how far it got where copying is
    nearer to the wanted points, and why it has no numbers."""
    means = table[table["measure"] == "error_wanted"].set_index("method")["mean"]
    notes = {}
    for entry in found.entries:
        parts = [entry.note] if entry.note else []
        own, copied = means[entry.name], means.get("copy", np.nan)
        if _learned(entry) and entry.reaches == "own" and own >= copied:
            parts.append(f"landmark error to wanted {own:.2f} %, copying {copied:.2f} %")
        notes[entry.name] = "; ".join(parts)
    return notes | {entry.name: f"failed: {reason}" for entry, reason in found.absent.items()}


def _learned(entry: Entry) -> bool:
    return not {entry.name, entry.network} & set(CONTROLS)


def _cell(row: pd.Series, middle: str, decimals: int, signed: bool = False) -> str:
    mean, low, high = (float(row[column]) for column in (middle, "low", "high"))
    return interval_as_text(mean, low, high, decimals, signed, int(row["people"]))


def _about(found: Comparison, table: pd.DataFrame) -> pd.DataFrame:
    """The table with what there is to know about each method."""
    notes = _notes(found, table)
    about = pd.DataFrame(
        [
            {
                "method": entry.name,
                "title": entry.title,
                "group": entry.group,
                "needs": entry.needs,
                "images": found.images if _learned(entry) else 0,
                "seeds": found.pairs.loc[found.pairs["method"] == entry.name, "seed"].nunique(),
                "settings": " ".join(entry.settings),
                "note": notes[entry.name],
            }
            for entry in (*found.entries, *found.absent)
        ]
    )
    return about.merge(table, on="method", how="left")


def _tested(run: Run, found: Comparison, reference: str) -> pd.DataFrame:
    """`paired_tests` of each method's mean over its seeds, with a column for the reference."""
    s = run.settings
    keys = ["method", *KEYS[1:], "person"]
    columns = [measure.name for measure in EVERY]
    over_seeds = found.pairs.groupby(keys, sort=False)[columns].mean().reset_index()
    tests = paired_tests(over_seeds, reference, EVERY, s.evaluation.resamples, s.seed)
    return tests.assign(reference=reference)


def _differences(found: Comparison, tests: pd.DataFrame) -> list[str]:
    cells, people = tests.set_index(["method", "measure"]), found.pairs["person"].nunique()
    reference = tests["reference"].iloc[0]
    title_of_reference = _titles(found)[reference]
    rows = []
    for name, title in _titles(found).items():
        if name == reference:
            continue
        told = []
        for m in MEASURES:
            test = cells.loc[(name, m.name)]
            text = _cell(test, "difference", m.decimals, signed=True)
            told.append(text if np.isnan(test["p_holm"]) else f"{text}, p {test['p_holm']:.2g}")
        rows.append([title, *told])
    return [
        f"Each method minus {title_of_reference}, on the same pairs, each the mean of its seeds: "
        f"mean over people [95 % interval]; {what_is_bold(people)}; p of Wilcoxon's signed-rank "
        "test over people, corrected after Holm for the number of methods.\n",
        as_markdown([f"minus {title_of_reference}", *(m.title for m in MEASURES)], rows),
    ]


def _several_seeds(found: Comparison) -> pd.DataFrame:
    """The rows of the methods with most seeds, and those of the controls, which have none, under
    each of these seeds; empty when they share one seed only, or none."""
    counts = found.pairs.groupby("method")["seed"].nunique()
    many = found.pairs[found.pairs["method"].isin(counts.index[counts == counts.max()])]
    methods = many.groupby("seed")["method"].nunique()
    shared = methods.index[methods == many["method"].nunique()]  # a seed may have failed in one
    if len(shared) < 2:
        return found.pairs.iloc[:0]
    many = many[many["seed"].isin(shared)]
    controls = [entry.name for entry in found.entries if entry.group == "control"]
    fixed = found.pairs[found.pairs["method"].isin(controls)].drop(columns="seed")
    return pd.concat([many, fixed.merge(many[["seed"]].drop_duplicates(), how="cross")])


def _stability(found: Comparison, spread: pd.DataFrame, agreement: pd.DataFrame) -> list[str]:
    titles, wide = _titles(found), spread.set_index(["method", "measure"])
    rows = []
    for name in dict.fromkeys(spread["method"]):
        places = [wide.loc[(name, m.name)] for m in MEASURES]
        told = [
            f"{p.lowest}" if p.lowest == p.highest else f"{p.lowest}-{p.highest}" for p in places
        ]
        rows.append([titles[name], *told])
    taus = agreement.set_index("measure")["tau"]
    rows.append(["Kendall's tau between seeds", *(f"{taus[m.name]:.2f}" for m in MEASURES)])
    seeds = int(agreement["seeds"].max())
    return [
        f"Ranks over {seeds} seeds, 1 is best; tau is 1 where all seeds rank alike.\n",
        as_markdown(["rank", *(m.title for m in MEASURES)], rows),
    ]


def _latex(found: Comparison, table: pd.DataFrame) -> str:
    head, rows = _rows(found, table, MEASURES)
    return as_latex(head[:-1], [row[:-1] for row in rows])


def draw_pictures(run: Run, found: Comparison, table: pd.DataFrame) -> dict[str, Figure]:
    """A grid with one column a method, those of GRIDS_OF_CHANGES, and bars of every measure of the
    short table, by file name."""
    main = [e for e in found.entries if e.group not in ("ablation", "step")]
    titles = _titles(found)
    groups = {entry.title: entry.group for entry in found.entries}
    drawn = {BARS: figures.method_bars(table, titles, groups, MEASURES)}
    if main:
        drawn[GRID] = _grid(run, found, main)
    for name, (group, file) in GRIDS_OF_CHANGES.items():
        changed = [entry for entry in found.entries if entry.group == group]
        own = [entry for entry in found.entries if entry.name == name]
        if changed:
            drawn[file] = _grid(run, found, own + changed)
    return drawn


def _grid(run: Run, found: Comparison, entries: Sequence[Entry], rows: int = 8) -> Figure:
    """Pictures of each method, by the first of its seeds that was measured."""
    asked = Asked.of(run, limit=rows)
    seeds = found.pairs.groupby("method")["seed"].min()
    columns = [("source", asked.source.photos), ("target", asked.target.photos)]
    for entry in entries:
        method = ready(run, entry, int(seeds[entry.name]), found.budget)
        results = generate(entry, method, asked)
        columns.append((entry.title, results))
    columns.append(("truth", asked.truth.photos))
    words = run.faces().table["expression"].to_numpy()
    sides = [f"{words[t]} →\n{words[s]}" for t, s in asked.triples[:, [TARGET, SOURCE]]]
    return figures.photo_columns(columns, sides)
