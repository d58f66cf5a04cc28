"""A Dask cluster at work for `in_processes`, by way of joblib's backend."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any

from joblib import parallel_config
from joblib._dask import DaskDistributedBackend

from expr_lib.errors import BadSetting, DistributedMissing, OutputFailed

_PATIENCE_SECONDS = 4


@contextmanager
def on_cluster(scheduler: str) -> Iterator[None]:
    """Let the workers of a Dask cluster do what `in_processes` is given.

    They need this library, dlib and its models, and see the same folders under the same paths.
    scheduler  its address, such as tcp://host:8786
    raises     BadSetting when no scheduler answers there, DistributedMissing
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise DistributedMissing(
            f"distributed, which reaches a cluster, cannot be imported ({error}); "
            "`pip install 'expr_lib[cluster]'`"
        ) from error
    try:
        asyncio.run(asyncio.wait_for(_greet(scheduler), _PATIENCE_SECONDS + 1))
        client = Client(scheduler, timeout=_PATIENCE_SECONDS)
    except Exception as error:  # a stranger's answer is misread in many ways
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise BadSetting(
            f"no Dask scheduler answers at {scheduler!r} ({reason}); give the address that "
            "`dask scheduler` prints, such as tcp://host:8786"
        ) from error
    with client, parallel_config(backend="dask"):
        yield


async def _greet(scheduler: str) -> None:
    """Connect once: a Client that finds nobody is not got rid of without seconds and noise."""
    from distributed import Security
    from distributed.comm import connect, get_address_host_port

    get_address_host_port(scheduler, strict=True)
    secrets = Security().get_connection_args("client")
    comm = await connect(scheduler, timeout=_PATIENCE_SECONDS, **secrets)
    await comm.close()


class ClusterBackend(DaskDistributedBackend):  # type: ignore[misc]
    """joblib's backend of Dask, which ends when the cluster gives a task up: the original never
    tells joblib, which then waits for ever."""

    @classmethod
    def like(cls, other: DaskDistributedBackend) -> "ClusterBackend":
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
