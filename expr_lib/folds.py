"""Cross-validation: the whole training and measuring once a fold, so that everyone is measured
unseen once."""

import numpy as np
import pandas as pd

from expr_lib.errors import BadSetting
from expr_lib.evaluation import evaluate
from expr_lib.files import write_text
from expr_lib.measures import MEASURES
from expr_lib.runs import Run
from expr_lib.splits import FOLDS, split_photos
from expr_lib.tables import as_markdown


def cross_validate(run: Run) -> str:
    """Train and measure on all five folds and say how much the fold matters.

    The run itself is one fold; the others are runs in its folder `folds`, which share its faces,
    and where what is finished is not done again. Written there: table.csv, a row a fold, method and
    measure, and table.md.

    returns  Markdown: a row a method; mean over the folds' means and their standard deviation
    raises   BadSetting when a file says who is unseen; TooFewPeople; whatever training raises
    """
    faces, settings = run.faces(), run.settings
    if settings.split not in ("people", "images"):
        raise BadSetting("a file splits in one way only; cross-validate with split=people")
    for fold in range(FOLDS):  # too few people: say so before the work
        split_photos(faces.table, settings.split, fold)
    tables = []
    for fold in range(FOLDS):
        job = run
        if fold != settings.fold:
            print(f"fold {fold}", flush=True)
            job = Run(
                run.folder / "folds" / str(fold),
                settings.model_copy(update={"fold": fold}),
                faces_at=run.faces_at,
                source=run.source,
                root=run.root,
                jobs=run.jobs,
                overwrite=run.overwrite,
            )
            job.model()
        tables.append(evaluate(job).table.assign(fold=fold))
    together = pd.concat(tables)[["fold", "method", "measure", "mean", "pairs", "people"]]
    text = _as_markdown(together, settings.split)
    write_text(run.folder / "folds" / "table.csv", together.to_csv(index=False))
    write_text(run.folder / "folds" / "table.md", text)
    return text


def _as_markdown(together: pd.DataFrame, split: str) -> str:
    rows = together.groupby(["method", "measure"], sort=False)["mean"].agg(["mean", "std"])
    pairs = together.groupby("fold")["pairs"].max().sum()
    table = []
    for method in together["method"].unique():
        cells = [
            f"{mean:.{m.decimals}f} ± {spread:.{m.decimals}f}"
            if np.isfinite(mean)
            else "no face found"
            for m in MEASURES
            for mean, spread in [rows.loc[(method, m.name)]]
        ]
        table.append((method, *cells))
    head = ("method", *(measure.title for measure in MEASURES))
    return (
        f"Cross-validation: {FOLDS} folds over {split}, {pairs} pairs altogether; mean of the "
        f"folds' means ± their standard deviation.\n\n{as_markdown(head, table)}"
    )
