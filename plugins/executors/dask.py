"""The executor `dask`: a cluster of dask.distributed, started on this machine or already running elsewhere.

Calls of a worker that died run again on another one, three times at most (dask's own bookkeeping).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

from crystalfw.core.data.executor import worker_count
from crystalfw.core.errors import CrystalfwError, PluginError

_CONNECT_SECONDS = 60


class DaskExecutor(Executor):
    """concurrent.futures over a dask client. `width` is the number of threads of all workers."""

    def __init__(self, address: str = "", workers: int = 0) -> None:
        """`address`: of a scheduler (tcp://...), or its file (.json); without, `workers` processes on this machine.

        Raises PluginError without the extra `dask`, CrystalfwError where no scheduler answers.
        """
        try:
            import distributed
        except ImportError as error:
            raise PluginError("the executor 'dask' needs dask.distributed: pip install 'crystalfw[dask]'") from error
        self._killed = distributed.scheduler.KilledWorker
        self._cluster: Any = None
        try:
            if not address:
                self._cluster = distributed.LocalCluster(
                    n_workers=worker_count(workers), threads_per_worker=1, processes=True, dashboard_address=None,
                    host="127.0.0.1", silence_logs=50,
                )  # fmt: skip
            where = {"scheduler_file": address} if address.endswith(".json") else {"address": self._cluster or address}
            self._client: Any = distributed.Client(**where, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise CrystalfwError(f"executor dask: no scheduler at {address or 'this machine'}: {error}") from error

    @property
    def width(self) -> int:
        """Calls done at a time."""
        return sum(self._client.nthreads().values())

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Send the call to a worker."""
        # pure=False: equal calls are not one call; the client would remember results that nobody asks for again
        there = self._client.submit(fn, *args, pure=False, **kwargs)
        here: Future[Any] = Future()
        here.set_running_or_notify_cancel()
        there.add_done_callback(lambda done: self._finish(done, here))
        return here

    def _finish(self, there: Any, here: Future[Any]) -> None:
        try:
            here.set_result(there.result())
        except self._killed as error:
            here.set_exception(BrokenExecutor(str(error)))
        except Exception as error:
            here.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster; one that was started here ends."""
        del wait, cancel_futures
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()
