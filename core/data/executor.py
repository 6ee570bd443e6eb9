"""One way to spread CPU work: the standard concurrent.futures interface.

Processes by default, this process itself for one worker, or an executor that a plugin supplies by name (`dask`).
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, TypeVar

from crystalfw.core.errors import CrystalfwError, PluginError
from crystalfw.core.hookspecs import HasWidth

Item = TypeVar("Item")
Result = TypeVar("Result")

PROCESSES = "processes"
"""The executor that needs no plugin."""
ALONE = 3.0
"""Seconds that this process works alone, because starting workers takes about as long."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class SerialExecutor(Executor):
    """Runs every call at once in this process: for small work, debugging, and machines without processes."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the call now; the future holds its result or exception."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count(workers: int) -> int:
    """`workers`, or all cores if it is 0; raises CrystalfwError for a negative number."""
    if workers < 0:
        raise CrystalfwError(f"workers must be 0 (all cores) or more; got {workers}")
    return workers or cores()


def spreads(workers: int, executor: str = PROCESSES) -> bool:
    """True if the work goes to other processes."""
    return executor != PROCESSES or worker_count(workers) > 1


def window(executor: Executor, workers: int) -> int:
    """Calls to keep under way: enough that no worker waits, few enough that memory stays small."""
    width = executor.width if isinstance(executor, HasWidth) else 0
    return 4 * max(worker_count(workers), int(width))


@contextmanager
def open_executor(workers: int = 0, preload: Sequence[str] = (), name: str = PROCESSES) -> Iterator[Executor]:
    """An executor with `workers` processes (0: all cores; 1: this process), closed at the end; or the one called `name`.

    `name`: `processes`, or the name under which a plugin supplies one, followed by a colon and an address if it needs one.

    Fresh processes (forkserver or spawn), because a fork of a process with threads can hang. Each runs one thread per
    library. `preload`: modules that the work needs, imported once for all workers where the system allows it. On an error
    or Ctrl-C, calls that have not started are cancelled.
    """
    count = worker_count(workers)
    if name != PROCESSES:
        with _supplied(name, workers) as executor:
            yield executor
        return
    if count == 1:
        yield SerialExecutor()
        return
    context = _context(preload)
    with _single_threaded():
        pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker)
    try:
        with _single_threaded():
            yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown(wait=True)


def _context(preload: Sequence[str]) -> Any:
    """How processes start; what is preloaded is imported once, then shared by all workers."""
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([name for name in preload if name != "__main__"])
    return context


def start_process(target: Callable[..., Any], args: tuple[Any, ...], preload: Sequence[str] = ()) -> tuple[Any, Any]:
    """A process that runs `target(pipe, *args)`, and our end of the pipe: fresh, with one thread per library, and ended
    with this process, as those of `open_executor`."""
    context = _context(preload)
    ours, theirs = context.Pipe()
    with _single_threaded():
        process = context.Process(target=_begin, args=(target, theirs, args), daemon=True)
        process.start()
    theirs.close()
    return process, ours


def _begin(target: Callable[..., Any], pipe: Any, args: tuple[Any, ...]) -> None:
    _start_worker()
    target(pipe, *args)


def _expect_workers(preload: Sequence[str]) -> None:
    """Start a process that imports what workers will need, while this one continues."""
    if _context(preload).get_start_method() == "forkserver":
        from multiprocessing import forkserver

        with _single_threaded():
            forkserver.ensure_running()


@contextmanager
def _supplied(name: str, workers: int) -> Iterator[Executor]:
    """The executor of a plugin; raises PluginError if no plugin knows the name."""
    from crystalfw.core.discovery import plugins

    plain, _, address = name.partition(":")
    executor = plugins().manager.hook.crystalfw_executor(name=plain, address=address, workers=workers)
    if executor is None:
        failures = "; ".join(f"{origin}: {cause}" for origin, cause in plugins().registry.failures.items())
        raise PluginError(
            f"no executor called '{plain}': '{PROCESSES}' needs nothing, 'dask' comes with crystalfw, others with plugins"
            + (f" (not loaded: {failures})" if failures else "")
        )
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown(wait=True)


def spread(
    alone: Callable[..., Result],
    together: Callable[[], Callable[..., Result]],
    calls: Iterable[tuple[Any, ...]],
    *,
    workers: int,
    preload: Sequence[str] = (),
    name: str = PROCESSES,
) -> Generator[Result, None, None]:
    """Results of the calls in order: for the first few seconds by `alone` in this process, then by workers.

    `together()` is the function that workers get; it must be picklable, its results equal to those of `alone`.
    """
    waiting, began, expected = iter(calls), time.monotonic(), False
    for call in waiting:
        yield alone(*call)
        passed = time.monotonic() - began
        if not spreads(workers, name):
            continue
        if passed > ALONE:
            break
        if not expected and name == PROCESSES and passed > ALONE / 4:
            _expect_workers(preload)
            expected = True
    following = next(waiting, None)
    if following is not None:
        with open_executor(workers, preload, name) as executor:
            yield from map_ordered(executor, together(), chain([following], waiting), window=window(executor, workers))


def map_ordered(
    executor: Executor, function: Callable[..., Result], calls: Iterable[tuple[Any, ...]], *, window: int = 4
) -> Iterator[Result]:
    """Results of function(*call) in the order of the calls, at most `window` calls under way: memory stays constant.

    Raises CrystalfwError if a worker process died (usually because memory ran out).
    """
    pending: deque[Future[Result]] = deque()
    try:
        for call in calls:
            pending.append(executor.submit(function, *call))
            if len(pending) >= window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenExecutor as error:
        raise CrystalfwError(
            "a worker process died: most likely the machine ran out of memory. Finished work is kept; "
            "run the same command again, with fewer workers (data.workers)"
        ) from error
    finally:
        for future in pending:
            future.cancel()


def _start_worker() -> None:
    """Ctrl-C reaches every process of the terminal; only the parent handles it. A worker ends when its parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    # a parent killed with -9 cannot stop its workers: without this they would wait for work for ever
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Environment in which child processes start with one thread per numerical library."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
