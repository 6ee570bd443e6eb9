"""Progress on the screen: one line that is rewritten on a terminal, a line from time to time in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TextIO, TypeVar

Item = TypeVar("Item")
_BRIEF = 1.0
chatter = 0
"""How much is said: -1 nothing of the progress, 0 as usual, 1 a line every second in a log as well."""
_ENOUGH = 3
"""Updates before a time left is told."""
_SPACING = 64
"""Two marks are at least this fraction of the elapsed time apart."""


def duration(seconds: float) -> str:
    """Seconds for people: 45 s, 3:20 min, 2:05 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"


class Pace:
    """Items per second over the later half of the time so far, so that a slow start or work that was done before has no
    influence."""

    def __init__(self, start: int, now: float) -> None:
        self._marks = [(now, start)]
        self._items = 0

    def mark(self, done: int, now: float) -> None:
        """Remember the moment; marks are spaced in proportion to the time so far, so that they stay few.

        The pace begins with the first item, which also waited for whatever had to be started.
        """
        if done <= self._marks[-1][1]:
            return
        self._items += 1
        if self._items == 1:
            self._marks = [(now, done)]
        elif now - self._marks[-1][0] > (now - self._marks[0][0]) / _SPACING:
            self._marks.append((now, done))

    def rate(self, done: int, now: float) -> float:
        """Items per second; 0 after fewer than three updates: one item tells nothing of the others."""
        if self._items < _ENOUGH:
            return 0.0
        half = (self._marks[0][0] + now) / 2
        since, before = next((mark for mark in reversed(self._marks) if mark[0] <= half), self._marks[0])
        return (done - before) / (now - since) if now > since else 0.0


class Progress:
    """Counts towards a total and estimates the time left from the recent speed."""

    def __init__(
        self, label: str, total: int | None, *, start: int = 0, every: float = 10.0, stream: TextIO | None = None
    ) -> None:
        self.label, self.total, self.done = label, total, start
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._every = 0.2 if self._live else min(every, 1.0) if chatter > 0 else every
        self._began = self._printed = time.monotonic()
        self._pace = Pace(start, self._began)
        self._width = 0

    def update(self, done: int, note: str = "", total: int | None = None, *, remaining: float | None = None) -> None:
        """Report that `done` items are ready. `total` sets a total that was unknown before; `remaining` overrides the
        estimated seconds left."""
        self.done, self.total = done, self.total if total is None else total
        now = time.monotonic()
        self._pace.mark(done, now)
        if now - self._printed >= self._every:
            self._printed = now
            self._print(self._line(now, note, remaining))

    def close(self, note: str = "", *, brief: bool = False) -> None:
        """Print the final line; with `brief`, print nothing if no progress was shown."""
        elapsed = time.monotonic() - self._began
        if brief and self._printed == self._began and elapsed < _BRIEF:
            return
        total = f"/{self.total}" if self.total is not None else ""
        self._print(f"{self.label} {self.done}{total} in {duration(elapsed)}{'  ' + note if note else ''}")
        if self._live and chatter >= 0:
            self._stream.write("\n")
        self._stream.flush()

    def _line(self, now: float, note: str, remaining: float | None) -> str:
        pace = self._pace.rate(self.done, now)
        line = f"{self.label} {self.done}"
        if self.total is not None:
            line += f"/{self.total}"
            if remaining is None and pace > 0:
                remaining = (self.total - self.done) / pace
        if note:
            line += f"  {note}"
        return line + (f"  {duration(remaining)} left" if remaining is not None else "")

    def _print(self, line: str) -> None:
        if chatter < 0:
            return
        if self._live:
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()


def track(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """Iterate with progress."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    progress = Progress(label, total)
    for count, item in enumerate(items, start=1):
        yield item
        progress.update(count)
    progress.close(brief=True)


Say = Callable[[str], None]
