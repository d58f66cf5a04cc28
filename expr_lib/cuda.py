"""What keeps a GPU busy: its kernels are recorded once and repeated, and the next batch is made
while it works. The results are those of the plain calls; nothing here is used on another device."""

from collections.abc import Callable

import torch
from torch import Tensor

Batch = tuple[Tensor, ...]


class Recorded:
    """A training step as a CUDA graph: launching a thousand small kernels one by one from Python
    takes longer than a recent GPU needs to run them.

    function  tensors of the same shapes every time -> named scalars; what it changes, it changes
              in place; it never asks a tensor on the GPU for its value
    """

    WARM = 3
    """Calls that are not recorded yet: libraries choose their kernels in the first ones."""

    def __init__(self, function: Callable[..., dict[str, Tensor]]) -> None:
        self.function, self.calls = function, 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.side = torch.cuda.Stream()

    def __call__(self, *given: Tensor) -> dict[str, Tensor]:
        """Do what the function does."""
        self.calls += 1
        if self.calls <= self.WARM:
            main = torch.cuda.current_stream()
            self.side.wait_stream(main)
            with torch.cuda.stream(self.side):  # a graph must not begin on the default stream
                result = self.function(*given)
            main.wait_stream(self.side)
            return result
        if self.graph is None:
            self.given = [tensor.clone() for tensor in given]
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.result = self.function(*self.given)
        for place, tensor in zip(self.given, given, strict=True):
            place.copy_(tensor)
        self.graph.replay()
        return self.result


class Ahead:
    """Batches made one step ahead, on a stream of their own.

    draw  step -> tensors on the GPU, a pure function of the step
    """

    def __init__(self, draw: Callable[[int], Batch]) -> None:
        self.draw, self.side = draw, torch.cuda.Stream()
        self.step = -1
        self.batch: Batch = ()

    def take(self, step: int) -> Batch:
        """The batch of a step."""
        if self.step != step:
            self.prepare(step)
        main = torch.cuda.current_stream()
        main.wait_stream(self.side)
        for tensor in self.batch:
            tensor.record_stream(main)  # its memory is not given to the next batch before use
        return self.batch

    def prepare(self, step: int) -> None:
        """Make a batch now, beside what the GPU is doing."""
        with torch.cuda.stream(self.side):
            self.step, self.batch = step, self.draw(step)
