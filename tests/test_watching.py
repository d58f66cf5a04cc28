"""What is seen of a training while it runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from expr_lib import watching
from expr_lib.watching import BOARD, ODD_ROWS, SAMPLES, sample_grid
from toy_training import STEPS, Killed, ToyLearner, run_toy


def board_of(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder / BOARD)).Reload()


def test_everything_is_there_while_it_trains(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run_toy(tmp_path, stop_at=15)
    losses, curve = (pd.read_csv(tmp_path / name) for name in ("metrics.csv", "curve.csv"))
    assert losses["step"].tolist() == list(range(1, 16))
    assert {"images", "seconds", "loss"} <= set(losses.columns)
    assert curve["step"].tolist() == [10]
    assert Image.open(tmp_path / SAMPLES).size == (8, 8)


def test_the_board_shows_losses_curve_and_pictures(tmp_path: Path) -> None:
    run_toy(tmp_path)
    board = board_of(tmp_path)
    losses = pd.read_csv(tmp_path / "metrics.csv")
    shown = board.Scalars("toy/loss")
    assert [event.step for event in shown] == losses["step"].tolist()
    assert [event.value for event in shown] == pytest.approx(losses["loss"].tolist(), rel=1e-5)
    assert [event.step for event in board.Scalars("toy/weight")] == [10, 20, 30, 40]
    assert [event.step for event in board.Images("toy/samples")] == [10, 20, 30, 40]


def test_a_resumed_run_is_shown_once(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run_toy(tmp_path, stop_at=15)
    run_toy(tmp_path)
    steps = [event.step for event in board_of(tmp_path).Scalars("toy/loss")]
    assert steps == list(range(1, STEPS + 1))


def test_a_board_that_cannot_be_written_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(watching.SummaryWriter):
        def add_scalar(self, *given: object) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(watching, "SummaryWriter", Full)
    run_toy(tmp_path)
    said = capsys.readouterr().out
    assert said.count("TensorBoard's files cannot be written") == 1
    assert len(pd.read_csv(tmp_path / "metrics.csv")) == STEPS


def test_odd_losses_are_said_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ToyLearner, "odd", "it is odd; do this")
    run_toy(tmp_path)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note")]
    assert said == [f"note: toy, step {n}: it is odd; do this" for n in (ODD_ROWS, 2 * ODD_ROWS)]


def test_lines_say_rate_and_time_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_toy(tmp_path)
    lines = [line for line in capsys.readouterr().out.splitlines() if "images/s" in line]
    assert 8 <= len(lines) <= 12
    assert lines[-1].startswith(f"toy: step {STEPS}/{STEPS}, ")
    assert all("s left, loss " in line for line in lines)


def test_a_terminal_gets_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(ToyLearner, "odd", "it is odd")
    run_toy(tmp_path)
    shown = capsys.readouterr()
    assert f"{STEPS}/{STEPS}" in shown.err
    assert "images/s, loss" in shown.err
    assert "images/s" not in shown.out


def test_a_sample_grid() -> None:
    red, blue = (np.zeros((2, 16, 16, 3), np.uint8) for _ in range(2))
    red[..., 0], blue[..., 2] = 255, 255
    grid = sample_grid({"one": red, "other": blue})
    assert grid.shape == (14 + 32, 32, 3)
    assert (grid[20, 4] == [255, 0, 0]).all() and (grid[20, 20] == [0, 0, 255]).all()
    assert grid[:14].min() < 128 < grid[:14].max()
