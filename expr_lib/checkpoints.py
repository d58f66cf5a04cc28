"""What is kept of training: the last checkpoints, to go on from, and the best networks so far.

A checkpoint is one safetensors file: networks and optimisers are its tensors, and the loop's state
(step, losses, curve) is JSON in its header. Reading one runs no code. No state of random numbers is
needed: each step draws from (seed, step).
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from expr_lib.errors import BrokenCheckpoint, OutputExists
from expr_lib.files import sweep, whole_file

CHECKPOINTS = "checkpoints"
"""Folder of the last checkpoints, while training goes on."""
BEST = "best.safetensors"
"""The networks that were worth most so far, while training goes on."""


class Trained(Protocol):
    """What a checkpoint holds: named networks and optimisers."""

    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, Optimizer]


class Checkpoints:
    """The last checkpoints of one training.

    folder  where they are
    keep    how many
    key     what the result depends on; a checkpoint with another key is refused
    """

    def __init__(self, folder: Path, keep: int, key: str) -> None:
        self.folder, self.keep, self.key = folder, keep, key

    def paths(self) -> list[Path]:
        """All checkpoints, the newest first."""
        return sorted(self.folder.glob("step-*.safetensors"), reverse=True)

    def save(self, trained: Trained, state: dict[str, Any]) -> None:
        """Write a checkpoint in one step, and `tidy`. Raises OutputFailed."""
        path = self.folder / f"step-{state['step']:09d}.safetensors"
        card = {"key": self.key, **state}
        save_tensors(path, _on_cpu(_tensors(trained)), {"state": json.dumps(card)})
        self.tidy()

    def tidy(self) -> None:
        """Remove the checkpoints beyond `keep`, and what a killed process was writing."""
        sweep(self.folder)
        for old in self.paths()[self.keep :]:
            old.unlink(missing_ok=True)

    def load(self, trained: Trained) -> dict[str, Any] | None:
        """Put the newest checkpoint that can be read into networks and optimisers.

        returns  the loop's state; None when there is no checkpoint
        raises   OutputExists when it belongs to other settings; BrokenCheckpoint when all are
                 damaged
        """
        problem: BrokenCheckpoint | None = None
        for path in self.paths():
            try:
                tensors, metadata = read_tensors(path)
            except BrokenCheckpoint as error:
                print(f"note: {error}", flush=True)
                problem = error
                continue
            state = json.loads(metadata["state"])
            if state.pop("key") != self.key:
                raise OutputExists(
                    f"{self.folder.parent} holds unfinished training with other settings or other "
                    "faces; choose another run folder, or use --overwrite to start again"
                )
            _put_modules(trained, tensors, path)
            _put_optimisers(trained, tensors)
            return state
        if problem is not None:
            raise BrokenCheckpoint(
                f"no checkpoint in {self.folder} can be read; delete that folder and run the same "
                "command again: training starts anew"
            )
        return None


class Best:
    """The file of the best networks so far; it may be of a later step than the checkpoint, whose
    run then comes to that step again."""

    def __init__(self, path: Path) -> None:
        self.path, self.step, self.worth = path, -1, -math.inf

    def find(self) -> None:
        """Read what an interrupted run found best. Raises BrokenCheckpoint."""
        known = json.loads(read_tensors(self.path)[1]["best"])
        self.step, self.worth = known["step"], known["worth"]

    def offer(self, trained: Trained, step: int, worth: float) -> None:
        """Write the networks if none were better. Raises OutputFailed."""
        if worth < self.worth:
            return
        self.step, self.worth = step, worth
        known = {"step": self.step, "worth": worth}
        save_tensors(self.path, _on_cpu(_weights(trained)), {"best": json.dumps(known)})

    def put_into(self, trained: Trained) -> None:
        """Give back the best networks. Raises BrokenCheckpoint."""
        _put_modules(trained, read_tensors(self.path)[0], self.path)


def _weights(trained: Trained) -> dict[str, Tensor]:
    """Weights and buffers of all networks, by name."""
    return {
        f"module/{name}/{key}": value
        for name, module in trained.modules.items()
        for key, value in module.state_dict().items()
    }


def _put_modules(trained: Trained, tensors: dict[str, Tensor], path: Path) -> None:
    for name, module in trained.modules.items():
        prefix = f"module/{name}/"
        put_weights(
            module,
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)},
            path,
        )


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _tensors(trained: Trained) -> dict[str, Tensor]:
    """Everything that training changes, by name: weights, buffers, and the optimisers' state."""
    tensors = _weights(trained)
    for name, optimiser in trained.optimisers.items():
        for index, parameter in enumerate(_parameters(optimiser)):
            for slot, value in optimiser.state.get(parameter, {}).items():
                tensors[f"optimiser/{name}/{index}/{slot}"] = value
    return tensors


def _parameters(optimiser: Optimizer) -> list[nn.Parameter]:
    return [p for group in optimiser.param_groups for p in group["params"]]


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file in one step. Raises OutputFailed."""
    with whole_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def _put_optimisers(trained: Trained, tensors: dict[str, Tensor]) -> None:
    for name, optimiser in trained.optimisers.items():
        for index, parameter in enumerate(_parameters(optimiser)):
            prefix = f"optimiser/{name}/{index}/"
            slots = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            # a state like the parameter in memory layout: the fused update reads both in step
            optimiser.state[parameter] = {
                slot: value.to(parameter.device if _counts_there(optimiser) else "cpu")
                if slot == "step"
                else torch.empty_like(parameter, requires_grad=False).copy_(value)
                for slot, value in slots.items()
            }


def _counts_there(optimiser: Optimizer) -> bool:
    """Whether an optimiser counts its steps on the parameters' device."""
    return bool(optimiser.defaults.get("fused") or optimiser.defaults.get("capturable"))


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
            there, here = ("absent" if shape is None else shape for shape in (theirs, mine))
            raise BrokenCheckpoint(
                f"{path} was made for another network: {name} is {there} there and {here} here; "
                "use the settings, and the version of expr_lib, that it was trained with"
            )
    module.load_state_dict(tensors)
