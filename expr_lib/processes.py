"""Where training computes: device, threads, and the processes that share a batch.

accelerate finds the device and joins the processes that a launcher such as torchrun started. Each
process draws the same batch and takes its share; gradients and batch statistics are those of the
whole batch, so that the number of processes changes nothing but rounding.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import TypeVar

import numpy as np
import psutil
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch import Tensor, distributed, nn

from expr_lib.errors import BadSetting, ExprLibError
from expr_lib.workers import end_with_parent

Value = TypeVar("Value")


class ProcessDied(ExprLibError):
    """One of several processes that ended before the work was done."""

    exit_code = 1


@cache
def team() -> PartialState:
    """The processes that work together, this one among them; a team of one without a launcher."""
    if "RANK" not in os.environ:
        return PartialState()
    # the others wait while the first draws faces or measures, which may take hours
    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=7))


def choose_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU; of several GPUs the one of this process."""
    return torch.device(team().device)


def choose_threads(wanted: int = 0) -> int:
    """Threads to compute with: `wanted`, or for 0 as many as there are idle cores.

    On a busy machine two threads that wait for each other are several times slower than one.
    """
    if wanted:
        return wanted
    load = psutil.cpu_percent(interval=0.5, percpu=True)
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(len(load))
    return max(1, sum(load[core] < 50 for core in mine))


def from_first(value: Value) -> Value:
    """What the first process passes here, in all of them."""
    if team().num_processes == 1:
        return value
    values = [value]
    broadcast_object_list(values)
    return values[0]


def _sum(values: Tensor) -> None:
    """Add up a tensor over all processes, in place. Raises ProcessDied."""
    try:
        distributed.all_reduce(values)
    except RuntimeError as error:
        raise ProcessDied(f"another process has ended ({str(error).splitlines()[0]})") from None


class Share:
    """This process's part of every batch.

    batch   photos of the whole batch
    name    the setting that says so
    raises  BadSetting when there are more processes than photos
    """

    def __init__(self, batch: int, name: str = "batch") -> None:
        count, rank = team().num_processes, team().process_index
        if batch < count:
            raise BadSetting(f"{name} = {batch} cannot be shared by {count} processes; raise it")
        sizes = [len(part) for part in np.array_split(np.arange(batch), count)]
        start = sum(sizes[:rank])
        self.rows = slice(start, start + sizes[rank])
        self.weight = sizes[rank] * count / batch
        """What a mean over this part counts for, so that the mean over processes is the batch's."""

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace the gradients, of losses times `weight`, by those of the whole batch."""
        if team().num_processes == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        _sum(together)
        together /= team().num_processes
        for gradient, mean in zip(
            gradients, together.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(mean.view(gradient.shape))

    def mean(self, values: Tensor) -> Tensor:
        """Means over the whole batch of means over each part."""
        if team().num_processes > 1:
            values = values * self.weight
            _sum(values)
            values /= team().num_processes
        return values


class _Sum(torch.autograd.Function):
    """Sum over processes, which passes gradients back in the same way."""

    @staticmethod
    def forward(ctx, values):  # type: ignore[no-untyped-def]
        values = values.clone()
        _sum(values)
        return values

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return _Sum.apply(gradient.contiguous())


class SharedBatchNorm(nn.BatchNorm2d):
    """BatchNorm with the statistics of the whole batch, however many processes share it.

    torch's SyncBatchNorm does the same, but only on GPUs.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        if not self.training:
            return super().forward(input)
        exact, axes = input.float(), (0, 2, 3)
        here = exact.new_tensor([input.numel() / input.shape[1]])
        sums = _Sum.apply(torch.cat([exact.sum(axes), here]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = exact - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum(axes)) / count
        with torch.no_grad():
            rate = self.momentum or 0.0
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.detach(), rate)
            self.running_var.lerp_(variance.detach() * count / (count - 1), rate)
        scale = self.weight * (variance + self.eps).rsqrt()
        result = centred * scale[:, None, None] + self.bias[:, None, None]
        return result.to(input.dtype)


def share_statistics(module: nn.Module) -> None:
    """Let every BatchNorm of a network see the whole batch when several processes share it."""
    if team().num_processes > 1:
        for parent in list(module.modules()):
            for name, child in parent.named_children():
                if type(child) is nn.BatchNorm2d:
                    shared = SharedBatchNorm(child.num_features).to(child.weight.device)
                    shared.load_state_dict(child.state_dict())
                    setattr(parent, name, shared)


def launch(processes: int, *arguments: str) -> None:
    """Run `python -m expr_lib` with these arguments in several processes of this machine at once.

    raises  ProcessDied when one ends before its work is done; the others are ended then
    """
    # a process of its own, because torch's launcher takes over signals for good
    command = [sys.executable, "-m", "expr_lib.processes", str(os.getpid()), str(processes)]
    command += arguments
    code = subprocess.run(command, check=False).returncode
    if code:
        raise ProcessDied(
            "one of the processes ended, and so the others were ended (why stands above); what was "
            "trained up to the last checkpoint is kept: mend the cause and run the same command "
            "again"
        )


def _launch(processes: int, arguments: list[str]) -> int:
    """Start the processes, wait, and say which one ended first and how; returns an exit code."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "expr_lib", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        how = f"signal {-failure.exitcode}" if failure.exitcode < 0 else f"code {failure.exitcode}"
        print(f"process {rank + 1} of {processes} ended with {how}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    # torch's launcher ends the others on this signal
    end_with_parent(int(sys.argv[1]), lambda: os.kill(os.getpid(), signal.SIGTERM))
    sys.exit(_launch(int(sys.argv[2]), sys.argv[3:]))
