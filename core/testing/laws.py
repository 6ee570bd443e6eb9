"""What a law is, how one is checked, and what is said when it is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from crystalfw.core.errors import CrystalfwError
from crystalfw.core.recipe.options import construct, make_config
from crystalfw.core.registry import KINDS


class Broken(Exception):  # noqa: N818 - a finding
    """Raised by a check: what was found, in a sentence."""


class NotApplicable(Exception):  # noqa: N818 - an outcome
    """Raised by a check that has nothing to say about this component; the reason is shown."""


@dataclass(frozen=True)
class Subject:
    """The component under test and how it is made."""

    kind: str
    component: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None
    """For sources: the file that they read."""

    def make(self, **dimensions: Any) -> Any:
        """A fresh instance with the subject's options."""
        config = make_config(self.component, dict(self.options), f"{self.kind} '{self.component.__name__}'")
        return construct(self.component, config, **dimensions)


@dataclass(frozen=True)
class Law:
    """One law of a kind: its name, what it says, how to meet it, and the check."""

    kind: str
    name: str
    statement: str
    remedy: str
    check: Callable[[Subject], None]

    def violation(self, subject: Subject) -> str | None:
        """None where the law holds, else a message: the law, what was found, the remedy. Raises NotApplicable."""
        try:
            self.check(subject)
        except NotApplicable:
            raise
        except Broken as error:
            return f"{self.statement} {error} {self.remedy}"
        except Exception as error:  # whatever a component raises while it is checked is a finding
            return f"{self.statement} The check ended with {type(error).__name__}: {str(error).rstrip('.')}. {self.remedy}"
        return None


_LAWS: dict[str, list[Law]] = {kind: [] for kind in KINDS}


def law(kind: str, statement: str, remedy: str) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Register a check as a law; its name is the function's. Both sentences are shown when it is broken."""

    def register(check: Callable[[Subject], None]) -> Callable[[Subject], None]:
        _LAWS[kind].append(Law(kind, check.__name__, statement, remedy, check))
        return check

    return register


def laws_of(kind: str) -> tuple[Law, ...]:
    """The laws of a kind, in the order in which they are worth meeting."""
    for stem in (kind, "common"):
        import_module(f"crystalfw.core.testing.{stem}_laws")
    return tuple(_LAWS[kind])


@dataclass(frozen=True)
class Outcome:
    """What a check gave: `ok`, `failed`, `expected` (a declared exception) or `skipped` (not applicable)."""

    law: Law
    status: str
    message: str = ""


def run_law(law: Law, subject: Subject, expected_failures: Mapping[str, str] | None = None) -> Outcome:
    """Check one law; `expected_failures` maps names of laws to the reason why the component does not meet them."""
    reason = (expected_failures or {}).get(law.name)
    try:
        message = law.violation(subject)
    except NotApplicable as why:
        return Outcome(law, "skipped", str(why))
    if reason is None:
        return Outcome(law, "ok") if message is None else Outcome(law, "failed", message)
    if message is None:
        return Outcome(law, "failed", f"'{law.name}' is in expected_failures ({reason}), but the law holds: take it out.")
    return Outcome(law, "expected", reason)


def run_laws(subject: Subject, expected_failures: Mapping[str, str] | None = None) -> Iterator[Outcome]:
    """Check every law of the subject's kind, one by one."""
    known = {law.name for law in laws_of(subject.kind)}
    unknown = sorted(set(expected_failures or {}) - known)
    if unknown:
        raise CrystalfwError(f"expected_failures names no law: {', '.join(unknown)}. Laws: {', '.join(sorted(known))}")
    for law in laws_of(subject.kind):
        yield run_law(law, subject, expected_failures)
