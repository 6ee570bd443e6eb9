"""A clean stop: SIGTERM, SIGINT and SIGUSR1 ask the work to save and exit; a second Ctrl-C exits at once. Work in a
`StopRequest` decides when to stop; `stopping_at_once` lets the same signals end work whose finished pieces are safe at
every moment.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

_STOPPING = ("SIGTERM", "SIGINT", "SIGUSR1")


class StopRequest:
    """Context manager: inside it the signals set `requested` instead of ending the process."""

    def __init__(self) -> None:
        self.requested: str | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for name in _STOPPING:
                number = getattr(signal, name, None)
                if number is not None:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = signal.Signals(number).name
        print(f"\n{self.requested}: saving, then leaving (Ctrl-C again leaves at once)", file=sys.stderr, flush=True)


class Stopped(KeyboardInterrupt):
    """A signal came. No `except Exception` catches it, as for KeyboardInterrupt."""

    def __init__(self, signal_name: str) -> None:
        self.signal = signal_name
        super().__init__(signal_name)


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """SIGTERM and SIGUSR1 raise Stopped in the block, as Ctrl-C raises KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(signal.Signals(number).name)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
