"""The same function on many things in parallel processes, with a progress bar: in those of this
machine, or in those of a Dask cluster when joblib's backend is Dask's."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib._dask import DaskDistributedBackend
from joblib.parallel import get_active_backend
from tqdm import tqdm

from expr_lib.errors import BadSetting, DistributedMissing, OutputFailed

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

    Under `joblib.parallel_config(backend="dask")`, or `on_cluster`, the cluster works.
    jobs    processes at work; 1 works in this one. A cluster uses all the cores that it has
    unit    what the bar counts; an item counts `weight(item)` of them, `done` are there already
    raises  OutputFailed when a process is ended from outside, or when the cluster has no worker or
            gives an item up; whatever the function raises
    """
    active, _ = get_active_backend()
    parallel = Parallel(
        backend=_Cluster.like(active) if isinstance(active, DaskDistributedBackend) else None,
        n_jobs=max(1, min(jobs, len(items))),
        return_as="generator",
        batch_size=1,
        initializer=_end_with_parent,  # Dask takes none: there the cluster ends its workers
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


@contextmanager
def on_cluster(scheduler: str | None) -> Iterator[None]:
    """Let the workers of a Dask cluster do what `in_processes` is given; None changes nothing.

    They need this library, dlib and its models, and see the same folders under the same paths.
    scheduler  its address, such as tcp://host:8786
    raises     BadSetting when no scheduler answers there, DistributedMissing
    """
    if scheduler is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise DistributedMissing(
            f"distributed, which reaches a cluster, cannot be imported ({error}); "
            "`pip install 'expr_lib[cluster]'`"
        ) from error
    try:
        asyncio.run(_greet(scheduler))
        client = Client(scheduler, timeout=_PATIENCE_SECONDS)
    except Exception as error:  # a stranger's answer is misread in many ways
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise BadSetting(
            f"no Dask scheduler answers at {scheduler!r} ({reason}); give the address that "
            "`dask scheduler` prints, such as tcp://host:8786"
        ) from error
    with client, parallel_config(backend="dask"):
        yield


_PATIENCE_SECONDS = 4


async def _greet(scheduler: str) -> None:
    """Connect once: a Client that finds nobody is not got rid of without seconds and noise."""
    from distributed import Security
    from distributed.comm import connect, get_address_host_port

    get_address_host_port(scheduler, strict=True)
    secrets = Security().get_connection_args("client")
    comm = await connect(scheduler, timeout=_PATIENCE_SECONDS, **secrets)
    await comm.close()


class _Cluster(DaskDistributedBackend):  # type: ignore[misc]
    """joblib's backend of Dask, which ends when the cluster gives a task up: the original never
    tells joblib, which then waits for ever."""

    @classmethod
    def like(cls, other: DaskDistributedBackend) -> "_Cluster":
        patience = other.wait_for_workers_timeout
        return cls(client=other.client, wait_for_workers_timeout=patience, **other.submit_kwargs)

    def effective_n_jobs(self, n_jobs: int) -> int:
        try:
            cores = super().effective_n_jobs(n_jobs)
        except TimeoutError as error:
            raise OutputFailed(
                f"the cluster at {self.client.scheduler.address} has no worker; start some with "
                "`dask worker`, and run the same command again"
            ) from error
        return max(2, cores)  # with 1 joblib would work here and not there

    def submit(self, func: Any, callback: Callable[[Any], None]) -> "Future[Any]":
        def tell(done: "Future[Any]") -> None:
            error = done.exception() or done.result()  # a cancelled task's result is an exception
            if done.exception() or isinstance(error, CancelledError):
                reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
                callback(
                    OutputFailed(
                        f"the cluster gave up ({reason}); see the logs of its workers, and run the "
                        "same command again: what is done is kept"
                    )
                )

        future: Future[Any] = super().submit(func, callback)
        future.add_done_callback(tell)
        return future


def _end_with_parent(parent: int) -> None:
    """Make a worker end soon after its parent: joblib's stays for minutes when that is killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)  # files are written whole or not at all, so that nothing is lost

    if os.getpid() != parent:
        threading.Thread(target=watch, daemon=True).start()
