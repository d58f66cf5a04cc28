"""What can be seen of a training while it runs: progress, losses, curves and sample pictures.

metrics.csv, curve.csv and samples.png are written whole; TensorBoard's files lie beside them.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from expr_lib.files import whole_file, write_text

SAMPLES = "samples.png"
BOARD = "tensorboard"
"""Folder of TensorBoard's files."""
ODD_ROWS = 20
"""Rows of metrics.csv in succession that are odd before it is said, and said again."""
_STRIP = 14  # height of the line of names above a sample grid, pixels


def sample_grid(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Pictures side by side under their names, a row an example.

    columns  name -> (N, H, W, 3) uint8
    returns  (14 + N H, columns W, 3) uint8
    """
    width = next(iter(columns.values())).shape[2]
    strip = Image.new("RGB", (width * len(columns), _STRIP), "white")
    pen = ImageDraw.Draw(strip)
    for place, name in enumerate(columns):
        pen.text((place * width + 2, 1), name, fill="black")
    rows = np.concatenate(list(columns.values()), axis=2)
    return np.concatenate([np.asarray(strip), *rows])


class Watch:
    """Shows one training to whoever looks: on the terminal, in files, in TensorBoard.

    folder  the stage's folder
    title   the stage's name
    steps   how many there are; `done` of them are done
    batch   photos a step
    """

    def __init__(self, folder: Path, title: str, steps: int, done: int, batch: int) -> None:
        self.folder, self.title = folder, title
        self.progress = _Progress(title, steps, done, batch)
        self.odd = 0
        self.board: SummaryWriter | None = None
        with self._no_harm():
            # a run that was killed had written further than its checkpoint: that part is shown once
            purge = done + 1 if done else None
            self.board = SummaryWriter(str(folder / BOARD), purge_step=purge, flush_secs=10)

    def show(
        self, row: Mapping[str, Any], losses: Mapping[str, float], advice: str | None = None
    ) -> None:
        """Show the mean losses since the last call; say once in a while what is odd about them."""
        step = int(row["step"])
        self.progress.show(step, losses)
        self._board({f"{self.title}/{name}": value for name, value in losses.items()}, step)
        self.odd = self.odd + 1 if advice else 0
        if advice and self.odd % ODD_ROWS == 0:
            self.progress.say(f"note: {self.title}, step {step}: {advice}")

    def look(self, row: Mapping[str, float], picture: np.ndarray | None) -> None:
        """Show a row of the curve, and a sample grid (H, W, 3) uint8."""
        step = int(row["step"])
        skipped = ("step", "images", "seconds")
        scalars = {f"{self.title}/{k}": v for k, v in row.items() if k not in skipped}
        self._board(scalars, step, picture)

    def _board(
        self, scalars: Mapping[str, float], step: int, picture: np.ndarray | None = None
    ) -> None:
        if self.board is None:
            return
        with self._no_harm():
            for name, value in scalars.items():
                self.board.add_scalar(name, value, step)
            if picture is not None:
                name = f"{self.title}/samples"
                self.board.add_image(name, picture, step, dataformats="HWC")

    @contextmanager
    def _no_harm(self) -> Iterator[None]:
        """Go on without TensorBoard when its files cannot be written."""
        try:
            yield
        except OSError as error:
            print(f"note: TensorBoard's files cannot be written ({error}); training goes on")
            self.board = None

    def write(
        self, losses: list[dict[str, Any]], curve: list[dict[str, Any]], picture: np.ndarray
    ) -> None:
        """Write metrics.csv, curve.csv and samples.png as they are now. Raises OutputFailed."""
        for name, rows in (("metrics.csv", losses), ("curve.csv", curve)):
            if rows:
                write_text(self.folder / name, pd.DataFrame(rows).to_csv(index=False))
        with whole_file(self.folder / SAMPLES) as temporary:
            Image.fromarray(picture).save(temporary)

    def close(self) -> None:
        """End the bar, and what TensorBoard has not written yet."""
        self.progress.close()
        if self.board is not None:
            with self._no_harm():
                self.board.close()


class _Progress:
    """A bar on a terminal, some ten plain lines elsewhere (logs, notebooks that run unattended)."""

    def __init__(self, title: str, steps: int, done: int, batch: int) -> None:
        self.title, self.steps, self.batch = title, steps, batch
        self.first, self.done, self.start = done, done, time.perf_counter()
        self.next_line = done + steps / 10
        self.bar = (
            tqdm(total=steps, initial=done, desc=title, unit="step")
            if sys.stderr.isatty()
            else None
        )

    def show(self, done: int, losses: Mapping[str, float]) -> None:
        rate = (done - self.first) * self.batch / max(time.perf_counter() - self.start, 1e-9)
        text = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        if self.bar is not None:
            self.bar.set_postfix_str(f"{rate:.0f} images/s, {text}")
            self.bar.update(done - self.done)
        elif done >= self.next_line or done == self.steps:
            left = (self.steps - done) * self.batch / max(rate, 1e-9)
            print(
                f"{self.title}: step {done}/{self.steps}, {rate:.0f} images/s, "
                f"{left:.0f} s left, {text}",
                flush=True,
            )
            self.next_line = done + self.steps / 10
        self.done = done

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if self.bar is not None:
            self.bar.write(text)
        else:
            print(text, flush=True)
