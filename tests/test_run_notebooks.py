"""The notebook runner: the order, and that one failing notebook fails the whole run."""

import subprocess
import sys
from itertools import groupby
from pathlib import Path

import nbformat

from run_notebooks import ROOT, all_notebooks, lane_of


def write_notebook(path: Path, *cells: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, path)
    return path


def run(*notebooks: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tests/run_notebooks.py", *map(str, notebooks)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_chapters_come_in_numeric_order_and_then_the_solutions(tmp_path: Path) -> None:
    names = ["10_z", "9_a", "solutions/00_s", "00_start", "app"]
    for name in names:
        write_notebook(tmp_path / "notebooks" / f"{name}.ipynb")
    found = [
        path.relative_to(tmp_path / "notebooks").as_posix() for path in all_notebooks(tmp_path)
    ]
    wanted = ["00_start", "9_a", "10_z", "app", "solutions/00_s"]
    assert found == [f"{name}.ipynb" for name in wanted]
    lanes = [
        [path.name[:-6] for path in lane] for _, lane in groupby(all_notebooks(tmp_path), lane_of)
    ]
    assert lanes == [["00_start"], ["9_a", "10_z", "app"], ["00_s"]]


def test_one_failing_notebook_fails_the_run_and_the_data_folder_goes(tmp_path: Path) -> None:
    note = tmp_path / "folder.txt"
    find = "import os, pathlib; data = pathlib.Path(os.environ['EXPR_LIB_DATA'])"
    good = write_notebook(
        tmp_path / "1_good.ipynb",
        f"{find}; assert not list(data.iterdir())",
        f"(data / 'made').touch(); pathlib.Path({str(note)!r}).write_text(str(data))",
    )
    bad = write_notebook(
        tmp_path / "2_bad.ipynb", f"{find}; assert (data / 'made').exists()", "1 / 0"
    )
    result = run(good, bad)
    summary = result.stdout.split("Notebooks that were run:")[1].split("\n")
    assert result.returncode == 1
    assert "passed" in summary[1] and "1_good.ipynb: 2 passed in" in summary[1]
    assert "FAILED" in summary[2] and "2_bad.ipynb: 1 failed, 1 passed in" in summary[2]
    assert summary[3].startswith("2 notebooks, 1 failed")
    assert not Path(note.read_text()).exists()


def test_a_notebook_without_code_fails_the_run(tmp_path: Path) -> None:
    assert run(write_notebook(tmp_path / "empty.ipynb")).returncode == 1
