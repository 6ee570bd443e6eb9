"""The queue: jobs wait, run in processes of their own under limits, end by themselves or are cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from crystalfw.core.errors import ConditionError, CrystalfwError
from crystalfw.core.serve.jobs import ENDED, Job, JobStore

GRACE = 30.0
"""Seconds that a cancelled process has to save before it is killed."""
_LARGEST_FILE = 64 * 2**30


class Queue:
    """Runs the jobs of a store, `at_once` at a time, in the order in which they came."""

    def __init__(self, store: JobStore) -> None:
        self.store = store
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._cancelled: set[str] = set()
        self._workers: list[asyncio.Task[None]] = []
        self.changed = asyncio.Condition()

    def start(self) -> None:
        """Begin to work; what waited when the last server ended waits again."""
        for job in self.store.after_a_stop():
            self._waiting.put_nowait(job.id)
        self._workers = [asyncio.create_task(self._work()) for _ in range(self.store.settings.at_once)]

    async def stop(self) -> None:
        """End what runs, cleanly; it can be resumed."""
        for task in self._workers:
            task.cancel()
        await asyncio.gather(*(self._end(process) for process in list(self._running.values())))
        await asyncio.gather(*self._workers, return_exceptions=True)
        self.store.after_a_stop()

    async def add(self, job: Job) -> None:
        """Let a stored job wait for its turn."""
        self._waiting.put_nowait(job.id)
        await self._tell()

    async def cancel(self, id: str) -> Job:
        """Stop a job; what it has finished is kept. Raises ConditionError where it has ended already."""
        job = self.store.load(id)
        if job.state in ENDED:
            raise ConditionError(f"the job has ended already: {job.state}")
        self._cancelled.add(id)
        process = self._running.get(id)
        if process is not None:
            await self._end(process)
        else:
            job = self._saved(replace(job, state="cancelled"))
        await self._tell()
        return self.store.load(id)

    async def resume(self, id: str) -> Job:
        """Let a job that did not get done wait again; it continues where it stopped. Raises ConditionError otherwise."""
        job = self.store.load(id)
        if job.state not in ("failed", "cancelled", "interrupted"):
            raise ConditionError(f"the job cannot be resumed: it is {job.state}")
        self._cancelled.discard(id)
        job = self._saved(replace(job, state="queued", message=""))
        await self.add(job)
        return job

    async def _work(self) -> None:
        while True:
            id = await self._waiting.get()
            with contextlib.suppress(CrystalfwError):  # its folder was deleted meanwhile
                await self._begin(id)
            await self._tell()

    async def _begin(self, id: str) -> None:
        job = self.store.load(id)
        if job.state != "queued" or id in self._cancelled:
            return
        try:
            await self._run(job)
        except OSError as error:  # a full disk must not end the queue
            with contextlib.suppress(OSError):
                self._saved(replace(job, state="failed", message=f"{error.filename or ''}: {error.strerror or error}"))

    async def _run(self, job: Job) -> None:
        folder, began = self.store.folder(job.id), time.monotonic()
        arguments = self.store.arguments(job)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with (folder / "log.txt").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "crystalfw.core.commands.cli", *arguments, stdout=log, stderr=log,
                stdin=asyncio.subprocess.DEVNULL, env=environment, start_new_session=True,
            )  # fmt: skip
        limit(process.pid, self.store.settings.memory)
        self._running[job.id] = process
        self._saved(replace(job, state="running"))
        if job.id in self._cancelled:  # while the process was starting
            process.terminate()
        await self._tell()
        try:
            code = await process.wait()
        finally:
            self._running.pop(job.id, None)
        seconds = job.seconds + time.monotonic() - began
        if job.id in self._cancelled:
            ended = replace(job, state="cancelled", seconds=seconds)
        elif code == 0:
            ended = replace(job, state="done", seconds=seconds)
        else:
            ended = replace(job, state="failed", seconds=seconds, message=_why(self.store.log(job.id), code))
        self._saved(ended)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """SIGTERM, and SIGKILL to the whole group where that does not help."""
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), GRACE)
        except asyncio.TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    def _saved(self, job: Job) -> Job:
        self.store.save(job)
        return job

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


def limit(pid: int, memory: int) -> None:
    """Bound the memory and the files of a process; only Linux can do so from outside."""
    set_limit = getattr(resource, "prlimit", None)
    if set_limit is not None:
        with contextlib.suppress(ProcessLookupError):
            set_limit(pid, resource.RLIMIT_AS, (memory, memory))
            set_limit(pid, resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))


def _why(log: str, code: int) -> str:
    """The sentence that a failed command left, from the end of its log."""
    if code < 0:
        return f"the process was killed ({signal.Signals(-code).name}); resume continues where it stopped"
    lines = [line.strip() for line in log.replace("\r", "\n").splitlines() if line.strip()]
    return "\n".join(lines[-4:])[-1000:] if lines else f"the command ended with code {code} and without a word"


def results(folder: Path) -> list[Path]:
    """The files that a job has made, for its list of downloads."""
    return sorted(path for path in (folder / "out").rglob("*") if path.is_file() and not path.is_symlink())[:2000]
