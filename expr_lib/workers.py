"""The same function on many things in parallel processes, with a progress bar."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from joblib import Parallel, delayed
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

    jobs    processes at work; 1 works in this one
    unit    what the bar counts; an item counts `weight(item)` of them, `done` are there already
    raises  OutputFailed when a process is ended from outside; whatever the function raises
    """
    parallel = Parallel(
        n_jobs=max(1, min(jobs, len(items))),
        return_as="generator",
        batch_size=1,
        initializer=_end_with_parent,
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


def _end_with_parent(parent: int) -> None:
    """Make a worker end soon after its parent: joblib's stays for minutes when that is killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)  # files are written whole or not at all, so that nothing is lost

    if os.getpid() != parent:
        threading.Thread(target=watch, daemon=True).start()
