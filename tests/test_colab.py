"""A chapter on a machine like Colab: packages are there, the library and its repository are not.

A virtual environment borrows every installed package but this one; the notebook lies alone in an
empty folder, and its constant names a clone on this disk. What stays unproven is Colab itself: its
versions of the packages, its GPU, its browser.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest

from expr_lib.provenance import REPOSITORY

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = ("expr_lib", "pyproject.toml", "LICENSE", "README.md")


def told(*command: object, folder: Path) -> str:
    """What a command prints; an error when it fails."""
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("EXPR_LIB")}
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=quiet | {"PIP_NO_BUILD_ISOLATION": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
    return ended.stdout


@pytest.fixture
def fork(tmp_path: Path) -> str:
    """Address of a repository with this library, as somebody's fork would have it."""
    folder = tmp_path / "fork"
    folder.mkdir()
    for name in INSTALLED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    author = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    for command in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "fork")):
        told("git", *command, folder=folder)
    return folder.as_uri().replace("file:///", "file://localhost/")  # pip wants a host


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of an environment with all packages but the library."""
    told(sys.executable, "-m", "venv", "--without-pip", tmp_path / "colab", folder=tmp_path)
    interpreter = tmp_path / "colab" / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    empty = Path(told(interpreter, "-c", code, folder=tmp_path).strip())
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if "expr_lib" not in package.name:
            (empty / package.name).symlink_to(package)
    return interpreter


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Colab is Linux; links to folders are needed")
def test_a_chapter_alone_installs_the_library_of_a_fork_and_runs(
    fork: str, python: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "content"
    alone.mkdir()
    name = "00_quick_start.ipynb"
    notebook = nbformat.read(ROOT / "notebooks" / name, 4)
    changed = [cell for cell in notebook["cells"] if f'"{REPOSITORY}"' in cell["source"]]
    assert len(changed) == 1  # one constant names the repository
    changed[0]["source"] = changed[0]["source"].replace(REPOSITORY, fork)
    nbformat.write(notebook, alone / name)
    find = "import importlib.util as u; print(u.find_spec('expr_lib'), u.find_spec('torch').origin)"
    before = told(python, "-c", find, folder=alone).split()
    assert before[0] == "None"
    told(python, "-m", "papermill", "--kernel", "python3", name, "out.ipynb", folder=alone)
    after = told(python, "-c", find, folder=alone).split()
    assert str(tmp_path / "colab") in " ".join(after[:-1])  # installed there, not in the clone
    assert after[-1] == before[-1]  # torch was left alone
    cells = nbformat.read(alone / "out.ipynb", 4)["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 4
