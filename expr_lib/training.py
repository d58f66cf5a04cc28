"""One training loop for every network: exact resume, curves, progress. It knows nothing of faces.

Every step is a pure function of the weights, the seed and the step's number: batches and noise are
drawn from
(seed, step). So a run that was killed goes on from its last checkpoint as if nothing had happened.
"""

import json
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import psutil
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from expr_lib.errors import BrokenCheckpoint, ExprLibError, OutputExists
from expr_lib.files import whole_file, write_text

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
"""The networks that were worth most so far, while training goes on."""


class TrainingDiverged(ExprLibError):
    """A loss that is no longer a number."""

    exit_code = 1


class Learner(Protocol):
    """What the loop needs: named networks and optimisers, one step of `batch` examples of the
    `epoch` that there are, and `probes` looks at the progress."""

    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, Optimizer]
    batch: int
    epoch: int
    probes: int

    def step(self, step: int) -> dict[str, Tensor]:
        """Do step number `step` (0-based) and return its losses, scalars."""

    def probe(self) -> dict[str, float]:
        """Measure the networks as they are; one row of curve.csv."""

    def worth(self, row: Mapping[str, float]) -> float:
        """How good the networks of a row of curve.csv are; the best are kept, of equals the
        last."""


def choose_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose_threads(wanted: int = 0) -> int:
    """Threads to compute with: `wanted`, or for 0 as many as there are idle cores.

    On a busy machine two threads that wait for each other are several times slower than one.
    """
    if wanted:
        return wanted
    load = psutil.cpu_percent(interval=0.5, percpu=True)
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(len(load))
    return max(1, sum(load[core] < 50 for core in mine))


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
        group["lr"] = rate


def train(
    learner: Learner,
    *,
    steps: int,
    folder: Path,
    key: str,
    seed: int,
    title: str,
    checkpoint_seconds: float = 30.0,
) -> None:
    """Train to the last step, from the folder's checkpoint if there is one; write metrics.csv and
    curve.csv. At the end the learner holds the networks of the row of curve.csv that was worth
    most, marked there as `kept`.

    key     what the result depends on; a checkpoint with another key is refused
    raises  OutputExists, BrokenCheckpoint, OutputFailed, TrainingDiverged
    """
    folder = Path(folder)
    state: dict[str, Any] = {"key": key, "step": 0, "seconds": 0.0, "losses": [], "curve": []}
    checkpoint, best = folder / CHECKPOINT, _Best(folder / BEST)
    if checkpoint.exists():
        state = load_checkpoint(checkpoint, learner, key)
        if state["curve"]:
            best.find()
        print(f"{title}: going on from step {state['step']} of {steps}", flush=True)
    log_every = max(1, min(50, steps // 200))
    probe_at = {round(i * steps / learner.probes) for i in range(1, learner.probes + 1)}
    bar = _Progress(title, steps, state["step"], learner.batch)
    start = time.perf_counter() - state["seconds"]
    saved_at = time.perf_counter()
    sums: dict[str, Tensor] = {}
    since = state["step"]
    for step in range(state["step"], steps):
        torch.manual_seed((seed * 1_000_003 + step) % 2**63)
        for name, loss in learner.step(step).items():
            sums[name] = sums.get(name, torch.zeros((), device=loss.device)) + loss.detach()
        done = step + 1
        if done % log_every and done != steps and done not in probe_at:
            continue
        losses = {name: float(total) / (done - since) for name, total in sums.items()}
        sums, since = {}, done
        _stop_if_broken(losses, done, title)
        state["step"], state["seconds"] = done, time.perf_counter() - start
        row = {"step": done, "images": done * learner.batch, "seconds": state["seconds"]}
        state["losses"].append({**row, **losses})
        if done in probe_at:
            clock = time.perf_counter()
            epochs = done * learner.batch / learner.epoch
            state["curve"].append({**row, "epochs": epochs, **learner.probe()})
            best.offer(learner, state["curve"][-1])
            start += time.perf_counter() - clock  # looking is not training
        bar.show(done, losses)
        if done == steps or time.perf_counter() - saved_at >= checkpoint_seconds:
            save_checkpoint(checkpoint, learner, state)
            saved_at = time.perf_counter()
    bar.close()
    curve = pd.DataFrame(state["curve"])
    curve["kept"] = curve["step"] == best.step
    write_text(folder / "metrics.csv", pd.DataFrame(state["losses"]).to_csv(index=False))
    write_text(folder / "curve.csv", curve.to_csv(index=False))
    if best.step != steps:
        print(f"{title}: kept the networks of step {best.step} of {steps}", flush=True)
        best.put_into(learner)


class _Best:
    """The file of the best networks so far; it may be of a later step than the checkpoint, whose
    run then comes to that step again."""

    def __init__(self, path: Path) -> None:
        self.path, self.step, self.worth = path, -1, -math.inf

    def find(self) -> None:
        """Read what an interrupted run found best. Raises BrokenCheckpoint."""
        known = json.loads(read_tensors(self.path)[1]["best"])
        self.step, self.worth = known["step"], known["worth"]

    def offer(self, learner: Learner, row: Mapping[str, float]) -> None:
        """Write the learner's networks if none were better. Raises OutputFailed."""
        worth = learner.worth(row)
        if worth < self.worth:
            return
        self.step, self.worth = int(row["step"]), worth
        known = {"step": self.step, "worth": worth}
        save_tensors(self.path, _on_cpu(_weights(learner)), {"best": json.dumps(known)})

    def put_into(self, learner: Learner) -> None:
        """Give the learner the best networks. Raises BrokenCheckpoint."""
        _put_modules(learner, read_tensors(self.path)[0], self.path)


def _stop_if_broken(losses: dict[str, float], step: int, title: str) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"{title}: the loss {name} is {value} at step {step}; lower the learning rate "
                "or use precision float32, in a new run folder"
            )


def _weights(learner: Learner) -> dict[str, Tensor]:
    """Weights and buffers of all networks, by name."""
    return {
        f"module/{name}/{key}": value
        for name, module in learner.modules.items()
        for key, value in module.state_dict().items()
    }


def _put_modules(learner: Learner, tensors: dict[str, Tensor], path: Path) -> None:
    for name, module in learner.modules.items():
        prefix = f"module/{name}/"
        put_weights(
            module,
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)},
            path,
        )


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _tensors(learner: Learner) -> dict[str, Tensor]:
    """Everything that training changes, by name: weights, buffers, and the optimisers' state."""
    tensors = _weights(learner)
    for name, optimiser in learner.optimisers.items():
        for index, parameter in enumerate(_parameters(optimiser)):
            for slot, value in optimiser.state.get(parameter, {}).items():
                tensors[f"optimiser/{name}/{index}/{slot}"] = value
    return tensors


def _parameters(optimiser: Optimizer) -> list[nn.Parameter]:
    return [p for group in optimiser.param_groups for p in group["params"]]


def save_checkpoint(path: Path, learner: Learner, state: dict[str, Any]) -> None:
    """Write networks, optimisers and the loop's state as one safetensors file, in one step. Raises
    OutputFailed."""
    save_tensors(path, _on_cpu(_tensors(learner)), {"state": json.dumps(state)})


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file in one step. Raises OutputFailed."""
    with whole_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def load_checkpoint(path: Path, learner: Learner, key: str) -> dict[str, Any]:
    """Put a checkpoint's tensors into the learner and return the loop's state.

    raises  OutputExists when it belongs to other settings; BrokenCheckpoint when it is damaged
    """
    tensors, metadata = read_tensors(path)
    state = json.loads(metadata["state"])
    if state["key"] != key:
        raise OutputExists(
            f"{path.parent} holds unfinished training with other settings or other faces; "
            "choose another run folder, or use --overwrite to start again"
        )
    _put_modules(learner, tensors, path)
    for name, optimiser in learner.optimisers.items():
        for index, parameter in enumerate(_parameters(optimiser)):
            prefix = f"optimiser/{name}/{index}/"
            slots = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            # a state like the parameter in memory layout: the fused update reads both in step
            optimiser.state[parameter] = {
                slot: value.to(parameter.device if optimiser.defaults.get("fused") else "cpu")
                if slot == "step"
                else torch.empty_like(parameter, requires_grad=False).copy_(value)
                for slot, value in slots.items()
            }
    return state


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file whole: tensors by name, and its metadata. Raises BrokenCheckpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(  # noqa: SIM118
                file.metadata() or {}
            )
    except FileNotFoundError:
        raise BrokenCheckpoint(f"{path} does not exist; train first") from None
    except (SafetensorError, OSError) as error:
        raise BrokenCheckpoint(
            f"{path} is damaged ({error}); delete it and run the same command again"
        ) from None


def put_weights(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Copy weights into a network. Raises BrokenCheckpoint when names or shapes do not fit."""
    own = module.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        mine = tuple(own[name].shape) if name in own else None
        theirs = tuple(tensors[name].shape) if name in tensors else None
        if mine != theirs:
            raise BrokenCheckpoint(
                f"{path} was made for another network: {name} is {theirs or 'absent'} there and "
                f"{mine or 'absent'} here; use the settings that it was trained with"
            )
    module.load_state_dict(tensors)


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

    def show(self, done: int, losses: dict[str, float]) -> None:
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
