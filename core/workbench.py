"""What metrics share: a process pool, progress, a time limit per item, and a store of finished pieces.

The store makes an evaluation resumable: every finished item is a line of JSON under a key that its content decides, so
that a second start, or another metric that asks the same question, finds the answer there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from crystalfw.core.executor import PROCESSES, map_ordered, open_executor, spreads, window, worker_count
from crystalfw.core.progress import Progress

_FEW = 64
"""Fewer open items than this are done in the calling process: starting workers would take longer."""
_LARGEST_CHUNK = 32
"""Items that a worker takes at once: few enough that a kill costs little."""


class Workbench:
    """Parallel, resumable map over items; results come back in the order of the items.

    `workers` 0 takes all cores; `executor` is who works (core/executor.py); `store` is a file of finished
    pieces, None keeps them in memory only.
    """

    def __init__(self, *, workers: int = 1, executor: str = PROCESSES, store: Path | None = None, quiet: bool = False) -> None:
        self.workers, self._name = worker_count(workers), executor
        self.quiet = quiet
        self._stack = ExitStack()
        self._executor: Executor | None = None
        self._known: dict[str, Any] = _read_store(store) if store is not None else {}
        self._file: IO[str] | None = _open_store(store) if store is not None else None

    def map(self, label: str, function: Callable[[Any], Any], items: Sequence[Any], keys: Sequence[str]) -> list[Any]:
        """`[function(item) for item in items]`; `function` a module-level function, its results JSON values.

        `keys[i]` identifies the question: items with equal keys are computed once, and never again with the same store.
        """
        open_items = {key: item for key, item in zip(keys, items, strict=True) if key not in self._known}
        progress = None if self.quiet or not open_items else Progress(label, len(open_items))
        answers = self._parallel if spreads(self.workers, self._name) and len(open_items) >= _FEW else self._serial
        for done, (key, value) in enumerate(answers(function, open_items), start=1):
            self._remember(key, value)
            if progress is not None:
                progress.update(done)
        if progress is not None:
            progress.close()
        return [self._known[key] for key in keys]

    def close(self) -> None:
        """Stop the workers and close the store."""
        self._executor = None
        self._stack.close()
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Workbench:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _serial(self, function: Callable[[Any], Any], items: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for key, item in items.items():
            yield key, function(item)

    def _parallel(self, function: Callable[[Any], Any], items: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        if self._executor is None:
            self._executor = self._stack.enter_context(open_executor(self.workers, [function.__module__], self._name))
        width = window(self._executor, self.workers)
        size = max(1, min(_LARGEST_CHUNK, len(items) // width))
        keys = list(items)
        chunks = [keys[start : start + size] for start in range(0, len(keys), size)]
        calls = ((function, [items[key] for key in chunk]) for chunk in chunks)
        for chunk, values in zip(chunks, map_ordered(self._executor, _run_chunk, calls, window=width), strict=True):
            yield from zip(chunk, values, strict=True)

    def _remember(self, key: str, value: Any) -> None:
        self._known[key] = value
        if self._file is not None:
            self._file.write(json.dumps([key, value]) + "\n")
            self._file.flush()


def _run_chunk(function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    return [function(item) for item in items]


def _open_store(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by Workbench.close
    if torn:
        file.write("\n")
    return file


def _read_store(path: Path) -> dict[str, Any]:
    """Finished pieces; a line that a kill tore is left out and computed again."""
    known: dict[str, Any] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                key, value = json.loads(line)
            except ValueError:
                continue
            known[key] = value
    return known
