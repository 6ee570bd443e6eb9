"""What metrics share: a process pool, progress, a time limit per item, and a store of finished pieces.

The store makes an evaluation resumable: an answer's key depends on the content of its question, so that a second start, or
another metric with the same question, finds the answer. Questions and answers are streams; neither is held in memory.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from crystalfw.core.data.executor import ALONE, PROCESSES, chunks, map_ordered, open_executor, spreads, window, worker_count
from crystalfw.core.evaluate.answer_store import AnswerStore
from crystalfw.core.system.progress import Progress, track
from crystalfw.core.system.sequences import Spool

Value = TypeVar("Value")
Question = tuple[str, Any]
"""The key that identifies it, and the item that the function gets."""
_MAX_CHUNK = 32
"""Items that a worker takes at once: few enough that a kill costs little."""
_LOOKED_UP = 1_000
"""Questions whose answers are looked for at once."""


@dataclass
class _Slot:
    """A question, and the place for its answer."""

    key: str
    item: Any
    open: bool
    answer: Any = None

    def take(self) -> bool:
        """True once for an open question: its caller computes the answer."""
        taken, self.open = self.open, False
        return taken


class Workbench:
    """Parallel, resumable map over questions; answers come back in the order of the questions.

    `workers` 0 takes all cores; `executor` names the kind of workers (core/data/executor.py); `store` is a file of finished
    pieces, None takes a temporary one.
    """

    def __init__(self, *, workers: int = 1, executor: str = PROCESSES, store: Path | None = None, quiet: bool = False) -> None:
        self.workers, self._name = worker_count(workers), executor
        self.quiet = quiet
        self._stack = ExitStack()
        self._executor: Executor | None = None
        self._alone = 0.0
        self._answers = AnswerStore(store)
        self._once: dict[tuple[Hashable, ...], Any] = {}

    def map(
        self, label: str, function: Callable[[Any], Any], questions: Iterable[Question], total: int | None = None
    ) -> Iterator[Any]:
        """`function(item)` for each question, as a stream; `function` a module-level function, its results JSON values.

        Questions with equal keys are computed once, and never again with the same store. The first seconds of work are done
        in this process, because starting others takes as long.
        """
        progress = None if self.quiet else Progress(label, total)
        for done, slot in enumerate(self._answered(function, questions, total), start=1):
            if progress is not None:
                progress.update(done)
                if done == total:  # who knows the total may not ask again
                    progress.close(brief=True)
            yield slot.answer
        if progress is not None and progress.done != total:
            progress.close(brief=True)

    def track(self, label: str, items: Iterable[Value], total: int | None = None) -> Iterator[Value]:
        """The items, with progress on the screen unless quiet."""
        return iter(items) if self.quiet or total == 0 else track(items, label, total)

    def once(self, name: str, make: Callable[[], Value], *about: object) -> Value:
        """What `make` gives, made once for these objects; for small results that several metrics need."""
        key = (name, *map(id, about))
        if key not in self._once:
            self._once[key] = (about, make())  # held, so that no other object gets its id
        found: Value = self._once[key][1]
        return found

    def spool(self, items: Iterable[Value]) -> Spool[Value]:
        """The items on disk, beside the store of finished pieces."""
        return Spool(items, None if self._answers.path is None else self._answers.path.parent)

    def close(self) -> None:
        """Stop the workers and close the store."""
        self._executor = None
        self._stack.close()
        self._answers.close()

    def __enter__(self) -> Workbench:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _answered(self, function: Callable[[Any], Any], questions: Iterable[Question], total: int | None) -> Iterator[_Slot]:
        """Every question with its answer, in order: by this process for a while, then by others."""
        flying: dict[str, _Slot] = {}
        slots = self._asked(questions, flying)
        for slot in slots:
            if slot.open and spreads(self.workers, self._name) and self._alone > ALONE:
                yield from self._parallel(function, chain([slot], slots), flying, total)
                return
            if slot.open:
                began = time.monotonic()
                self._land([slot], [function(slot.item)], flying)
                self._alone += time.monotonic() - began
            yield slot

    def _asked(self, questions: Iterable[Question], flying: dict[str, _Slot]) -> Iterator[_Slot]:
        """Slots of the questions, answered where the store knows; questions that are equal share one while it is open."""
        for batch in chunks(questions, _LOOKED_UP):
            known = self._answers.find(key for key, _ in batch if key not in flying)
            slots = []
            for key, item in batch:
                slot = flying.get(key) or _Slot(key, item, key not in known, known.get(key))
                if slot.open:
                    flying[key] = slot
                slots.append(slot)
            yield from slots

    def _parallel(
        self, function: Callable[[Any], Any], slots: Iterable[_Slot], flying: dict[str, _Slot], total: int | None
    ) -> Iterator[_Slot]:
        if self._executor is None:
            self._executor = self._stack.enter_context(open_executor(self.workers, [function.__module__], self._name))
        width = window(self._executor, self.workers)
        size = _MAX_CHUNK if total is None else max(1, min(_MAX_CHUNK, total // width))
        waiting: deque[tuple[list[_Slot], list[_Slot]]] = deque()

        def calls() -> Iterator[tuple[Any, ...]]:
            for chunk in chunks(slots, size):
                taken = [slot for slot in chunk if slot.take()]
                waiting.append((chunk, taken))
                yield function, [slot.item for slot in taken]

        for values in map_ordered(self._executor, _run_chunk, calls(), window=width):
            chunk, taken = waiting.popleft()
            self._land(taken, values, flying)
            yield from chunk

    def _land(self, slots: Sequence[_Slot], answers: Sequence[Any], flying: dict[str, _Slot]) -> None:
        self._remember((slot.key, answer) for slot, answer in zip(slots, answers, strict=True))
        for slot, answer in zip(slots, answers, strict=True):
            slot.item, slot.open, slot.answer = None, False, answer
            del flying[slot.key]

    def _remember(self, answers: Iterable[tuple[str, Any]]) -> None:
        self._answers.put(answers)


def _run_chunk(function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    return [function(item) for item in items]
