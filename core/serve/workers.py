"""The process that answers short questions about what strangers sent: bounded in memory and time, replaced when it dies."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from crystalfw.core.errors import ConditionError, CrystalfwError

Answer = TypeVar("Answer")
SECONDS = 60.0
"""Wall time of one answer; the limit on CPU time is for the whole process."""
MEMORY = 8 * 2**30
_CALLS = 500
"""Answers after which a fresh process takes over, so that no leak of a library adds up."""


class Worker:
    """One process at a time; calls wait for each other."""

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self.seconds, self.memory = seconds, memory
        self._pool: ProcessPoolExecutor | None = None
        self._calls = 0
        self._lock = asyncio.Lock()

    @property
    def started(self) -> bool:
        """Is there a process already?"""
        return self._pool is not None

    async def call(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """The answer. Raises ConditionError with the sentence of its error, or where the process died or took too long."""
        async with self._lock:
            try:
                answer = await self._answered(function, arguments)
            except BrokenProcessPool:
                # somebody may have killed it while it waited; an input that kills it does so again
                self.close()
                try:
                    answer = await self._answered(function, arguments)
                except BrokenProcessPool:
                    self.close()
                    raise ConditionError("the process that read the input died; the input is too large or damaged") from None
        if isinstance(answer, _Failed):
            raise ConditionError(answer.sentence)
        return answer

    async def _answered(self, function: Callable[..., Answer], arguments: tuple[Any, ...]) -> Answer | _Failed:
        """The answer of the process; of a fresh one after _CALLS answers. Raises ConditionError where it takes too long."""
        if self._pool is None or self._calls >= _CALLS:
            self.close()
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(self.memory,))
            self._calls = 0
        self._calls += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, _checked, function, arguments)
        try:
            return await asyncio.wait_for(future, self.seconds)
        except asyncio.TimeoutError:
            self.close()
            raise ConditionError(f"no answer within {self.seconds:g} s; the input is too large or damaged") from None

    def close(self) -> None:
        """End the process at once."""
        pool, self._pool = self._pool, None
        if pool is not None:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)


class _Failed:
    """A sentence instead of an answer: exceptions of strangers' libraries need not survive pickling."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sendable(sentence)


def sendable(value: Any) -> Any:
    """The answer with what UTF-8 cannot write replaced: a stranger's JSON can hold half of a character."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, (list, tuple)):
        return [sendable(item) for item in value]
    return {sendable(key): sendable(item) for key, item in value.items()} if isinstance(value, dict) else value


def _begin(memory: int) -> None:
    import warnings

    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends this process
    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)


def _checked(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return sendable(function(*arguments))
    except CrystalfwError as error:
        return _Failed(str(error))
    except MemoryError:
        return _Failed("the input needs more memory than is allowed here")
    except RecursionError:
        return _Failed("the input is nested too deeply")
