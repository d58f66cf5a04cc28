"""A run that is killed, or meets a full disk, at any moment loses at most one checkpoint's work."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image

from expr_lib import checkpoints, files
from expr_lib.checkpoints import BEST, CHECKPOINTS
from expr_lib.errors import BrokenCheckpoint, OutputFailed
from toy_training import ToyLearner, assert_same_weights, newest, run_toy, without_times

FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
STEPS = 3
WRITES = (
    (checkpoints, "save_file"),
    (Path, "write_text"),
    (Image.Image, "save"),
    (files.os, "fsync"),
    (files.os, "replace"),
    (Path, "unlink"),
)
"""Whatever touches the disk while training."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """A forked process cannot use the threads of its parent, and two would round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed(
    one_thread: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ToyLearner, Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return run_toy(folder, steps=STEPS), folder


def strike(at: int, blow: Callable[[str, Any], None], patch: pytest.MonkeyPatch) -> list[int]:
    """Before and after each write, fsync, rename and removal a count goes up; at `at` the blow
    falls. The count is returned, and goes on."""
    count = [0]

    def tick(name: str, about: Any) -> None:
        count[0] += 1
        if count[0] == at:
            blow(name, about)

    def guard(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def watched(*given: Any, **named: Any) -> Any:
            tick(f"before {name}", given)
            result = original(*given, **named)
            tick(f"after {name}", given)
            return result

        patch.setattr(owner, name, watched)

    for owner, name in WRITES:
        guard(owner, name)
    return count


def count_moments(folder: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        count = strike(0, lambda *_: None, patch)
        run_toy(folder, steps=STEPS)
    return count[0]


def kill(name: str, about: Any) -> None:
    """SIGKILL; a file that has just been written is torn, as if it had struck in the middle."""
    if name == "after save_file":
        path = about[1]
        os.truncate(path, os.path.getsize(path) // 2)
    os.kill(os.getpid(), signal.SIGKILL)


def run_and_be_killed(folder: Path, at: int) -> int:
    """Train in a process that is killed at a moment; returns how many steps it had begun."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            strike(at, kill, pytest.MonkeyPatch())
            step = ToyLearner.step
            ToyLearner.step = lambda self, n: (os.write(writer, b"."), step(self, n))[1]
            run_toy(folder, steps=STEPS)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        begun = len(stream.read())
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return begun


@FORK
def test_a_kill_at_any_moment_costs_one_step(
    undisturbed: tuple[ToyLearner, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = count_moments(tmp_path / "count")
    assert moments > 80
    for at in range(1, moments + 1):
        folder = tmp_path / str(at)
        begun = run_and_be_killed(folder, at)
        capsys.readouterr()
        again = run_toy(folder, steps=STEPS)
        said = capsys.readouterr().out
        if begun > 1:  # a checkpoint follows each step
            assert f"going on from step {begun - 1}" in said or f"from step {begun}" in said, at
        check_end(again, folder, undisturbed)


@FORK
def test_a_full_disk_at_any_moment_costs_one_step(
    undisturbed: tuple[ToyLearner, Path], tmp_path: Path
) -> None:
    moments = count_moments(tmp_path / "count")

    def full(name: str, about: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    struck = 0
    for at in range(1, moments + 1):
        folder = tmp_path / str(at)
        with pytest.MonkeyPatch.context() as patch:
            strike(at, full, patch)
            try:
                run_toy(folder, steps=STEPS)
            except OutputFailed as error:
                assert "No space left" in str(error) and "untouched" in str(error)
                struck += 1
            except OSError as error:  # at a removal, which a full disk does not hinder
                assert error.errno == errno.ENOSPC
        check_end(run_toy(folder, steps=STEPS), folder, undisturbed)
    assert struck > moments / 2


def check_end(again: ToyLearner, folder: Path, undisturbed: tuple[ToyLearner, Path]) -> None:
    """The same weights and tables as without the blow, and nothing left over."""
    assert_same_weights(again.net, undisturbed[0].net)
    for name in ("metrics.csv", "curve.csv"):
        pd.testing.assert_frame_equal(
            without_times(folder / name), without_times(undisturbed[1] / name)
        )
    places = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert [place for place in places if "events.out" not in place] == [
        BEST,
        f"{CHECKPOINTS}/step-000000002.safetensors",
        f"{CHECKPOINTS}/step-000000003.safetensors",
        "curve.csv",
        "metrics.csv",
        "samples.png",
    ]


def test_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    run_toy(tmp_path, steps=7, keep=3)
    steps = [path.stem for path in sorted((tmp_path / CHECKPOINTS).iterdir())]
    assert steps == ["step-000000005", "step-000000006", "step-000000007"]


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    undisturbed: tuple[ToyLearner, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_toy(tmp_path, steps=STEPS)
    newest(tmp_path).write_bytes(newest(tmp_path).read_bytes()[:100])
    again = run_toy(tmp_path, steps=STEPS)
    said = capsys.readouterr().out
    assert "step-000000003.safetensors is damaged" in said
    assert "going on from step 2" in said
    check_end(again, tmp_path, undisturbed)


def test_when_every_checkpoint_is_damaged_it_is_said(tmp_path: Path) -> None:
    run_toy(tmp_path, steps=STEPS)
    for path in (tmp_path / CHECKPOINTS).iterdir():
        path.write_bytes(b"\x00" * 100)
    with pytest.raises(BrokenCheckpoint, match=r"no checkpoint in .* can be read; delete"):
        run_toy(tmp_path, steps=STEPS)


def test_reading_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    """Nothing is unpickled: pickle is not even there."""
    run_toy(tmp_path, steps=STEPS)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("pickle", "_pickle"):
            patch.setitem(sys.modules, name, None)
        tensors, metadata = checkpoints.read_tensors(newest(tmp_path))
    assert tensors
    assert set(metadata) == {"state"}
