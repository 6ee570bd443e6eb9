"""Kill -9 at a random moment, start again, compare: the table `fault, tries, survived, lost`."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL

from .stages import STAGES, Bench, Stage
from .warm import Warm


@dataclass
class Outcome:
    """What became of the tries of one stage."""

    stage: str
    tries: int = 0
    killed: int = 0
    """Tries whose process was still at work when the signal came."""
    lost: list[str] = field(default_factory=list)
    """What went wrong, a line each."""

    @property
    def row(self) -> str:
        return f"| kill -9 in {self.stage} | {self.tries} ({self.killed} at work) | {self.tries - len(self.lost)} | {len(self.lost)} |"


def kill_and_resume(
    warm: Warm, bench: Bench, name: str, folder: Path, tries: int, seed: int = 0, say: Callable[[str], None] = print
) -> Outcome:
    """Tries of one stage; `folder` is the scratch space."""
    stage, outcome, draws = STAGES[name], Outcome(name), random.Random(f"{name} {seed}")
    expected, duration = _undisturbed(warm, bench, stage, folder / f"{name}-whole")
    for number in range(tries):
        out = folder / f"{name}-{number}"
        delay = draws.uniform(0, duration)
        out.mkdir(parents=True)
        child = warm.start(stage.command(bench, out), cwd=out)
        time.sleep(delay)
        child.send(SIGKILL)
        outcome.killed += child.wait() == -9
        outcome.tries += 1
        problem = _resumed(warm, bench, stage, out, expected)
        if problem:
            outcome.lost.append(f"{name}, killed after {delay:.3f} of {duration:.3f} s: {problem} ({out})")
            say(outcome.lost[-1])
        else:
            shutil.rmtree(out)
    return outcome


def _undisturbed(warm: Warm, bench: Bench, stage: Stage, out: Path) -> tuple[dict[str, bytes], float]:
    """The results and how long they take, twice: the first start may write compiled kernels, and bits must repeat."""
    found = []
    for name in ("first", "second"):
        (out / name).mkdir(parents=True)
        began = time.monotonic()
        warm.run(stage.command(bench, out / name), cwd=out / name, timeout=300)
        found.append((stage.results(out / name), time.monotonic() - began))
    difference = _difference(found[0][0], found[1][0])
    assert not difference, f"{stage.name} does not repeat itself undisturbed: {difference}"
    return found[1]


def _resumed(warm: Warm, bench: Bench, stage: Stage, out: Path, expected: dict[str, bytes]) -> str:
    """What is wrong after the second start; empty where nothing is."""
    again = (stage.again or stage.command)(bench, out)
    child = warm.start(again, cwd=out)
    code = child.wait(300)
    if code != 0:
        return f"exit code {code}: {child.output.strip()[-600:]}"
    try:
        return _difference(expected, stage.results(out))
    except (AssertionError, OSError) as error:
        return f"{type(error).__name__}: {error}"


def _difference(expected: dict[str, bytes], found: dict[str, bytes]) -> str:
    missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
    other = [name for name in expected.keys() & found.keys() if expected[name] != found[name]]
    parts = (("missing", missing), ("not expected", extra), ("other bytes", other))
    return "; ".join(f"{what}: {', '.join(sorted(names)[:4])}" for what, names in parts if names)
