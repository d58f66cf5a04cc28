"""A learner small enough to train thousands of times: noise to noise, with dropout and BatchNorm,
so that every kind of state matters."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from expr_lib.checkpoints import CHECKPOINTS
from expr_lib.methods.painting import PaintingLearner
from expr_lib.processes import Share
from expr_lib.training import train

STEPS = 40
WORTH = {10: 0.0, 20: 3.0, 30: 1.0, 40: 2.0}
"""What the toy's networks are worth at each look: the second is the best."""


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the library catches it."""


class ToyLearner:
    """A network with every kind of state, that can be told to stop or to go wrong."""

    batch, epoch, probes = 4, 20, 4
    odd: str | None = None

    def __init__(
        self, stop_at: int | None = None, bad_at: int | None = None, spoilt_at: int | None = None
    ) -> None:
        torch.manual_seed(1)
        self.net = nn.Sequential(
            nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)
        )
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=0.01)
        self.modules = {"net": self.net}
        self.optimisers = {"net": self.optimiser}
        self.stop_at, self.bad_at, self.spoilt_at = stop_at, bad_at, spoilt_at
        self.share = Share(self.batch)

    def step(self, step: int) -> dict[str, Tensor]:
        if step == self.stop_at:
            raise Killed
        given = torch.randn(self.batch, 3)
        loss = (self.net(given) - given).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        if step == self.spoilt_at:
            self.net[0].weight.data[0, 0] = float("inf")
        return {"loss": loss * (float("nan") if step == self.bad_at else 1.0)}

    def probe(self) -> dict[str, float]:
        return {"weight": float(self.net[0].weight.abs().sum().item())}

    def worth(self, row: Mapping[str, float]) -> float:
        return WORTH.get(int(row["step"]), 0.0)

    def picture(self) -> np.ndarray:
        return np.full((8, 8, 3), 128, np.uint8)

    def advice(self, losses: Mapping[str, float]) -> str | None:
        return self.odd


def run_toy(
    folder: Path, key: str = "k", steps: int = STEPS, keep: int = 2, **options: int
) -> ToyLearner:
    """Train the toy, with a checkpoint after every step."""
    learner = ToyLearner(**options)
    about = {"key": key, "seed": 3, "title": "toy", "checkpoint_seconds": 0, "keep": keep}
    train(learner, steps=steps, folder=folder, **about)
    return learner


def newest(folder: Path) -> Path:
    """The newest checkpoint of a folder."""
    return max((folder / CHECKPOINTS).glob("step-*"))


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    """Equal bit by bit."""
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def without_times(path: Path) -> pd.DataFrame:
    """A table of a training, but for the clock."""
    return pd.read_csv(path).drop(columns="seconds")


def show_four_people(learner: PaintingLearner) -> None:
    """Let a learner see four batches of the photos of four people, over and over."""
    pool = learner.samples.draw(0, 400)
    people = learner.faces.table["person"].to_numpy()
    four = sorted(set(people[pool[:, 2]]))[:4]
    pool = pool[np.isin(people[pool[:, 2]], four)][: 4 * learner.batch]

    def few(step: int, batch: int) -> np.ndarray:
        return pool[np.arange(step * batch, (step + 1) * batch) % len(pool)]

    learner.samples.draw = few  # type: ignore[method-assign]
