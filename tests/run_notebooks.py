"""Run every notebook from top to bottom, one pytest call (nbval) each, and say which ones ran.

They run in lanes, as many at once as there are cores: the chapters up to 04 in numeric order,
those from 05 on, and the solutions likewise. The notebooks of a lane share one data folder, which
is empty at the start and removed at the end, so that no earlier run can hide a failure.

    python tests/run_notebooks.py                            every notebook
    python tests/run_notebooks.py notebooks/02_fusion.ipynb  only these
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("notebooks", "notebooks/solutions")
CELL_SECONDS = 600
SECOND_HALF = 5  # chapters from this number on take about as long as those before


class Outcome(NamedTuple):
    """What one notebook came to: pytest's exit code, its summary line, the wall time in seconds."""

    path: Path
    exit_code: int
    summary: str
    seconds: float


def number_first(path: Path) -> tuple[int, str]:
    """Sort key: the number a file name begins with, files without one last."""
    digits = re.match(r"\d+", path.name)
    return (int(digits.group()) if digits else sys.maxsize, path.name)


def all_notebooks(root: Path) -> list[Path]:
    """The notebooks under `root`: chapters in numeric order, then solutions in numeric order."""
    return [
        path
        for folder in FOLDERS
        for path in sorted((root / folder).glob("*.ipynb"), key=number_first)
    ]


def lane_of(path: Path) -> tuple[Path, bool]:
    """The lane of a notebook: its folder, and the half of the book."""
    return path.parent, number_first(path)[0] >= SECOND_HALF


def run_notebook(path: Path, data: Path) -> Outcome:
    """Run one notebook with `data` as its data folder; pytest's output comes when it has ended."""
    options = ["--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}"]
    command = [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", str(path)]
    start = time.monotonic()
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "EXPR_LIB_DATA": str(data), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    print(ended.stdout, end="", flush=True)
    lines = ended.stdout.strip().splitlines() or [""]
    return Outcome(path, ended.returncode, lines[-1].strip("= "), time.monotonic() - start)


def run_in_order(notebooks: list[Path]) -> list[Outcome]:
    """Run the notebooks of a lane one after the other in a data folder of their own."""
    with tempfile.TemporaryDirectory(prefix="expr_lib-notebooks-") as data:
        return [run_notebook(path, Path(data)) for path in notebooks]


def main(arguments: list[str]) -> int:
    """Run the named notebooks, or all; 0 when there was at least one and every one passed."""
    notebooks = [Path(argument).resolve() for argument in arguments] or all_notebooks(ROOT)
    if not notebooks:
        print(f"No notebooks under {' or '.join(FOLDERS)}: there is nothing to run.")
        return 1
    start = time.monotonic()
    lanes = [list(lane) for _, lane in groupby(notebooks, key=lane_of)]
    with ThreadPoolExecutor(min(len(lanes), os.cpu_count() or 1)) as beside:
        outcomes = [outcome for lane in beside.map(run_in_order, lanes) for outcome in lane]

    print("\nNotebooks that were run:")
    for outcome in outcomes:
        verdict = "passed" if outcome.exit_code == 0 else "FAILED"
        name = os.path.relpath(outcome.path, ROOT)
        print(f"{verdict}  {outcome.seconds:5.0f} s  {name}: {outcome.summary}")
    failed = sum(outcome.exit_code != 0 for outcome in outcomes)
    print(f"{len(outcomes)} notebooks, {failed} failed, {time.monotonic() - start:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
