"""Two real epochs of both stages of the preset `paper`, on a handful of drawn people.

    python benchmarks/paper.py [--out FOLDER]

256 pixels, float32 and the printed networks, losses and rates; only the number of epochs and what
is measured are reduced. What a dry run had promised stands beside what a step then took, in the
same process; a step is told as a multiple of painting its batch once.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from expr_lib.config import load_settings
from expr_lib.evaluation import FIGURES, evaluate
from expr_lib.methods.base import FaceBatch
from expr_lib.planning import plan
from expr_lib.runs import Run

CHANGES = (
    "synthetic.people=10",
    "synthetic.expressions=neutral,happy,sad,surprised",
    "fusion.epochs=2",
    "transfer.epochs=2",
    "transfer.curve_points=2",
    "transfer.curve_pairs=4",
    "evaluation.pairs=8",
    "evaluation.same_person_pairs=4",
)


def seconds_a_step(stage: Path) -> float:
    """Seconds a step took, by the stage's metrics.csv."""
    last = pd.read_csv(stage / "metrics.csv").iloc[-1]
    return float(last["seconds"] / last["step"])


def main() -> None:
    """Print the plan, what the steps took, and the figures that came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="run folder to keep; removed by default")
    options = parser.parse_args()
    settings = load_settings("paper", CHANGES)
    print(plan(settings, "synthetic", None), end="\n\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(options.out or Path(folder) / "run", settings)
        model, faces = run.model(), run.faces()
        batch = FaceBatch.of(faces, run.split().train[: settings.transfer.batch], settings.size)
        start = time.perf_counter()
        model.generate(batch, batch)
        painting = time.perf_counter() - start
        evaluation = evaluate(run)
        for stage in ("fusion", "transfer"):
            print(f"{stage}: {1000 * seconds_a_step(run.folder / stage):.0f} ms a step")
        ratio = seconds_a_step(run.folder / "transfer") / painting
        print(f"a step of Ω took {ratio:.1f} times as long as painting its batch once\n")
        missing = [name for name in FIGURES if not (run.folder / "evaluation" / name).is_file()]
        print(f"figures: {len(FIGURES) - len(missing)} of {len(FIGURES)}")
        print(evaluation.markdown)
        if missing:
            sys.exit(f"no figure {', '.join(missing)}")


if __name__ == "__main__":
    main()
