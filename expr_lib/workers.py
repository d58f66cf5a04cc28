"""The same function on many things in parallel processes, with a progress bar: in those of this
machine, or in those of a Dask cluster when joblib's backend is Dask's."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from tqdm import tqdm

from expr_lib.errors import OutputFailed

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    jobs: int,
    *,
    title: str,
    unit: str,
    weight: Callable[[Item], int] = lambda item: 1,
    done: int = 0,
    progress: bool = True,
) -> Iterator[Result]:
    """Give `function(item)` for each item, in order, as soon as it is there.

    Under `joblib.parallel_config(backend="dask")`, or `cluster.on_cluster`, the cluster works.
    jobs    processes at work; 1 works in this one. A cluster uses all the cores that it has
    unit    what the bar counts; an item counts `weight(item)` of them, `done` are there already
    raises  OutputFailed when a process is ended from outside, or when the cluster has no worker or
            gives an item up; whatever the function raises
    """
    parallel = Parallel(
        backend=_backend(),
        n_jobs=max(1, min(jobs, len(items))),
        return_as="generator",
        batch_size=1,
        initializer=end_with_parent,  # Dask takes none: there the cluster ends its workers
        initargs=(os.getpid(),),
    )
    total = done + sum(weight(item) for item in items)
    with tqdm(total=total, initial=done, desc=title, unit=unit, disable=not progress) as bar:
        try:
            results = parallel(delayed(function)(item) for item in items)
            for item, result in zip(items, results, strict=True):
                bar.update(weight(item))
                yield result
        except BrokenProcessPool as error:
            raise OutputFailed(
                "a worker process was ended from outside, most likely for want of memory; "
                "run the same command again with fewer jobs: what is done is kept"
            ) from error


def _backend() -> Any:
    """Where the work goes, None where joblib says; Dask is imported only by those who use it."""
    active, _ = get_active_backend()
    if type(active).__module__ != "joblib._dask":
        return None
    from expr_lib.cluster import ClusterBackend

    return ClusterBackend.like(active)


def end_with_parent(parent: int, end: Callable[[], object] = lambda: os._exit(1)) -> None:
    """Make this process end soon after its parent: joblib's stay for minutes when that is killed.

    parent  its number; nothing is done in the parent itself
    end     what ends this process; files are written whole or not at all
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        end()

    if os.getpid() != parent:
        threading.Thread(target=watch, daemon=True).start()
