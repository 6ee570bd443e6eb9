"""Work that may hang or end its process, spread over processes that can be ended one by one.

An executor of the standard library cannot stop one call, and all its calls fail when a process dies. Here every process
has one item at a time, so that what hangs, or dies (memory, a fault in a library), costs that item alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from crystalfw.core.data.executor import start_process, worker_count

_GRACE = 5.0
"""Seconds beyond its limit that work has to end itself."""
_TICK = 0.25
"""Seconds after which a request to stop is seen at the latest."""


class Lost(Exception):  # noqa: N818 - an outcome that is counted
    """What became of an item whose process was ended, or ended itself; the message says which."""


class _Worker:
    """One process and what it is doing."""

    def __init__(self, prepare: Callable[..., Any], arguments: tuple[Any, ...], preload: tuple[str, ...]) -> None:
        self.process, self.pipe = start_process(_serve, (prepare, arguments), preload)
        self.place: int | None = None
        self.ready = False
        self.until = float("inf")

    def give(self, place: int, item: Any, seconds: float) -> None:
        self.place = place
        self.until = time.monotonic() + seconds if seconds > 0 else float("inf")
        self.pipe.send(item)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def crewed(
    prepare: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...], items: Iterable[Any], *, workers: int = 0,
    seconds: float = 0.0, preload: tuple[str, ...] = (), stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Any]:  # fmt: skip
    """`prepare(*arguments)(item)` for every item, in order; a `Lost` instead of the result of an item that ended its process
    or took longer than `seconds` (0: no limit) and a grace of 5 s.

    `prepare` is called once in every process. Ends early where `stopped` says so. Raises what the work raises.
    """
    crew = _Crew(prepare, arguments, preload, worker_count(workers), seconds)
    try:
        yield from crew.run(iter(items), stopped)
    finally:
        crew.close()


class _Crew:
    def __init__(
        self, prepare: Callable[..., Any], arguments: tuple[Any, ...], preload: tuple[str, ...], count: int, seconds: float
    ) -> None:
        self._make = lambda: _Worker(prepare, arguments, preload)
        self._limit = seconds + _GRACE if seconds > 0 else 0.0
        self._count = count
        self._workers: list[_Worker] = []
        self._done: dict[int, Any] = {}

    def run(self, items: Iterator[Any], stopped: Callable[[], bool]) -> Iterator[Any]:
        following, given, sent = 0, 0, False
        while not stopped():
            given, sent = self._hand_out(items, given, following, sent)
            while following in self._done:
                yield self._done.pop(following)
                following += 1
                if stopped():
                    return
            if sent and following == given:
                return
            self._collect()

    def _hand_out(self, items: Iterator[Any], given: int, following: int, sent: bool) -> tuple[int, bool]:
        """Give idle workers items; few enough ahead of the first unfinished one that memory stays small."""
        while not sent and given - following < 8 * self._count:
            idle = next((worker for worker in self._workers if worker.place is None and worker.ready), None)
            if idle is None and len(self._workers) >= self._count:
                break
            if idle is None:
                self._workers.append(self._make())
                break
            try:
                item = next(items)
            except StopIteration:
                return given, True
            idle.give(given, item, self._limit)
            given += 1
        return given, sent

    def _collect(self) -> None:
        """Wait for a moment; take what is there, end what is late."""
        ready = wait([worker.pipe for worker in self._workers], timeout=_TICK)
        for worker in list(self._workers):
            if worker.pipe in ready:
                self._take(worker)
            elif time.monotonic() > worker.until:
                self._lose(worker, f"ended after {self._limit:g} s: it did not stop by itself")

    def _take(self, worker: _Worker) -> None:
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            self._lose(worker, "its process died: out of memory, or a fault in a library")
            return
        if kind == "error":
            raise value
        if kind == "done":
            assert worker.place is not None
            self._done[worker.place] = value
        worker.place, worker.ready, worker.until = None, True, float("inf")

    def _lose(self, worker: _Worker, why: str) -> None:
        self._workers.remove(worker)
        worker.end()
        if worker.place is None:
            raise RuntimeError("a worker process died before it had work")
        self._done[worker.place] = Lost(why)

    def close(self) -> None:
        for worker in self._workers:
            worker.end()


def _serve(pipe: Connection, prepare: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    """The life of a worker process."""
    with suppress(EOFError, OSError):  # the parent has gone
        try:
            work = prepare(*arguments)
            pipe.send(("ready", None))
            while True:
                pipe.send(("done", work(pipe.recv())))
        except Exception as error:
            pipe.send(("error", error))
