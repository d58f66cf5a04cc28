"""One training loop for every network: exact resume, curves, progress. It knows nothing of faces.

Every step is a pure function of the weights, the seed and the step's number: batches and noise are
drawn from (seed, step). So a run that was killed goes on from its last checkpoint as if nothing had
happened. That holds bit by bit on the same CPU with the same number of threads; a GPU adds in
another order each time, and other machines round differently.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from expr_lib.checkpoints import BEST, CHECKPOINTS, Best, Checkpoints
from expr_lib.errors import ExprLibError
from expr_lib.files import sweep
from expr_lib.processes import Share, from_first, team
from expr_lib.watching import Watch


class TrainingDiverged(ExprLibError):
    """A loss or a weight that is no longer a number."""

    exit_code = 1


class TrainingCollapsed(ExprLibError):
    """A generator that gives one and the same picture whatever it is given."""

    exit_code = 1


class OutOfMemory(ExprLibError):
    """A network or a batch that the memory does not hold."""

    exit_code = 1


class Learner(Protocol):
    """What the loop needs: named networks and optimisers, one step of `batch` examples of the
    `epoch` that there are, and `probes` looks at the progress. `share` is this process's part of a
    batch."""

    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, Optimizer]
    batch: int
    epoch: int
    probes: int
    share: Share

    def step(self, step: int) -> dict[str, Tensor]:
        """Do step number `step` (0-based) and return its losses, scalars."""

    def probe(self) -> dict[str, float]:
        """Measure the networks as they are; one row of curve.csv. Raises TrainingCollapsed."""

    def worth(self, row: Mapping[str, float]) -> float:
        """How good the networks of a row of curve.csv are; the best are kept, of equals the
        last."""

    def picture(self) -> np.ndarray:
        """A few examples as they come out now, (H, W, 3) uint8."""

    def advice(self, losses: Mapping[str, float]) -> str | None:
        """What is odd about these losses, and what to do about it; None when all is well."""


def rate_factor(step: int, steps: int, schedule: str) -> float:
    """Share of the learning rate at a step: constant; linear, falling to 0 over the second half;
    or half a cosine."""
    done = step / steps
    if schedule == "linear":
        return min(1.0, 2 * (1 - done))
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1.0


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters of an optimiser."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def newness(step: int, ema: float) -> float:
    """Share of the newest weights in a running mean at a step: 1 - `ema`, but more in the first
    steps, so that the untrained weights are soon forgotten."""
    return 1 - min(ema, (1 + step) / (10 + step))


@torch.no_grad()
def follow(mean: nn.Module, new: nn.Module, share: float | Tensor) -> None:
    """Move a running mean of weights a share of the way to the newest ones; buffers are copied."""
    for weight, value in zip(mean.parameters(), new.parameters(), strict=True):
        weight.lerp_(value, share)
    for buffer, known in zip(mean.buffers(), new.buffers(), strict=True):
        buffer.copy_(known)


def train(
    learner: Learner,
    *,
    steps: int,
    folder: Path,
    key: str,
    seed: int,
    title: str,
    checkpoint_seconds: float = 30.0,
    keep: int = 2,
) -> None:
    """Train to the last step, from the folder's newest checkpoint if there is one; write
    metrics.csv, curve.csv and samples.png. At the end the learner holds the networks of the row of
    curve.csv that was worth most, marked there as `kept`.

    key     what the result depends on; a checkpoint with another key is refused
    keep    how many checkpoints are kept
    raises  OutputExists, BrokenCheckpoint, OutputFailed, TrainingDiverged, TrainingCollapsed
    """
    folder = Path(folder)
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "losses": [], "curve": []}
    checkpoints, best = Checkpoints(folder / CHECKPOINTS, keep, key), Best(folder / BEST)
    first = team().is_main_process
    if first:
        sweep(folder)
        checkpoints.tidy()
    if (found := checkpoints.load(learner)) is not None:
        state = found
        if state["curve"]:
            best.find()
        if first:
            print(f"{title}: going on from step {state['step']} of {steps}", flush=True)
    log_every = max(1, min(50, steps // 200))
    probe_at = {round(i * steps / learner.probes) for i in range(1, learner.probes + 1)}
    start = time.perf_counter() - state["seconds"]
    save_at = -math.inf  # the first one comes at once, and says when the disk is too small
    sums: dict[str, Tensor] = {}
    since = state["step"]
    with _watching(first, folder, title, steps, state["step"], learner.batch) as watch:
        for step in range(state["step"], steps):
            torch.manual_seed(_noise_seed(seed, step))
            for name, loss in learner.step(step).items():
                sums[name] = sums.get(name, torch.zeros((), device=loss.device)) + loss.detach()
            done = step + 1
            if done % log_every and done != steps and done not in probe_at:
                continue
            losses = _means(sums, done - since, learner.share)
            sums, since = {}, done
            _stop_if_broken(losses, done, title)
            if watch is None:
                continue
            state["step"], state["seconds"] = done, time.perf_counter() - start
            row = {"step": done, "images": done * learner.batch, "seconds": state["seconds"]}
            state["losses"].append({**row, **losses})
            watch.show(row, losses, learner.advice(losses))
            clock = time.perf_counter()
            if done in probe_at:
                epochs = done * learner.batch / learner.epoch
                state["curve"].append({**row, "epochs": epochs, **learner.probe()})
                best.offer(learner, done, learner.worth(state["curve"][-1]))
                watch.look(state["curve"][-1], learner.picture())
            if done == steps or time.perf_counter() >= save_at:
                _stop_if_weights_are_broken(learner, done, title)
                checkpoints.save(learner, state)
                watch.write(state["losses"], state["curve"], learner.picture())
                save_at = time.perf_counter()
                if checkpoint_seconds:  # saving takes a twentieth of the time at most
                    save_at += max(checkpoint_seconds, 20 * (save_at - clock))
            start += time.perf_counter() - clock  # looking and saving are not training
        kept = from_first(best.step)
        if kept != steps:
            best.put_into(learner)
        if watch is not None:
            curve = [{**row, "kept": row["step"] == kept} for row in state["curve"]]
            watch.write(state["losses"], curve, learner.picture())
            if kept != steps:
                print(f"{title}: kept the networks of step {kept} of {steps}", flush=True)


def _noise_seed(seed: int, step: int) -> int:
    """Every process draws noise of its own for its part of the batch."""
    return (seed * 1_000_003 + step + 7_919_000_003 * team().process_index) % 2**63


@contextmanager
def _watching(first: bool, *about: Any) -> Iterator[Watch | None]:
    """A watch in the first process, nothing in the others."""
    watch = Watch(*about) if first else None
    try:
        yield watch
    finally:
        if watch is not None:
            watch.close()


def _means(sums: Mapping[str, Tensor], steps: int, share: Share) -> dict[str, float]:
    """Mean losses over steps, of the whole batch."""
    values = share.mean(torch.stack(list(sums.values())) / steps).tolist()
    return dict(zip(sums, values, strict=True))


_CURE = "lower the learning rate or use precision float32, in a new run folder"


def _stop_if_broken(losses: Mapping[str, float], step: int, title: str) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise TrainingDiverged(f"{title}: the loss {name} is {value} at step {step}; {_CURE}")


def _stop_if_weights_are_broken(learner: Learner, step: int, title: str) -> None:
    """The last step before a checkpoint may spoil weights whose loss was still a number."""
    for name, module in learner.modules.items():
        if not all(bool(torch.isfinite(value).all()) for value in module.state_dict().values()):
            raise TrainingDiverged(
                f"{title}: weights of the {name} are not finite at step {step}; {_CURE}"
            )


@contextmanager
def memory_named(title: str, lower: str) -> Iterator[None]:
    """Tell a want of memory as one sentence.

    lower   the settings that need less of it
    raises  OutOfMemory
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not any(
            sign in str(error) for sign in ("can't allocate memory", "not enough memory")
        ):
            raise
        raise OutOfMemory(
            f"{title}: the memory is too small; lower {lower}, in a new run folder"
        ) from error
