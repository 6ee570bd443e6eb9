"""The errors that users meet: one base class, a few children, each with a message that names the place and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CrystalfwError(Exception):
    """Base of every error meant for a user; the command line prints it without a traceback and exits with 2."""


class RecipeError(CrystalfwError):
    """One or more mistakes in a recipe; `mistakes` lists them all, each with file and line."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = list(mistakes)
        count = len(self.mistakes)
        summary = f"{count} mistake{'s' if count != 1 else ''}; nothing was run."
        super().__init__("\n".join([*self.mistakes, summary]))


class PluginError(CrystalfwError):
    """A component cannot be found or loaded, or two distributions claim one name."""


class DataError(CrystalfwError):
    """Input data cannot be used; names the file and row."""


class CheckpointError(CrystalfwError):
    """A checkpoint is damaged, of a newer format, or contradicts the request."""


class DecodeError(CrystalfwError):
    """A string cannot become a crystal; `reason` is one of the representation's documented codes."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class ConditionError(CrystalfwError):
    """A condition was asked for that the model was not trained with, or that cannot be met."""


class Interrupted(CrystalfwError):  # noqa: N818 - a state of the run, not a mistake
    """A signal stopped the work after it saved its state; the message says how to resume (exit code 1)."""

    def __init__(self, message: str, signal: str = "") -> None:
        self.signal = signal
        super().__init__(message)


class Reject(Exception):  # noqa: N818 - an outcome that is counted, not a mistake
    """Raised by a transform or source for one crystal that cannot be used; `reason` goes into rejected.csv."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def did_you_mean(name: str, known: Iterable[str], otherwise: str, *, cutoff: float = 0.6) -> str:
    """`Did you mean 'x'?` where a known name is near, else `otherwise: a, b, c.`"""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=cutoff)
    return f"Did you mean '{near[0]}'?" if near else f"{otherwise}: {', '.join(names) or 'none'}."
