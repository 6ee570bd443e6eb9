"""Kill -9 at a random moment, start again, compare: the table `fault, tries, survived, lost`."""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL

from .stages import STAGES, Bench
from .warm import Warm


@dataclass
class Outcome:
    """What became of the tries of one stage."""

    stage: str
    tries: int = 0
    at_work: int = 0
    """Tries whose process had not ended when the signal came."""
    lost: list[str] = field(default_factory=list)
    """What went wrong, a line each."""

    @property
    def row(self) -> str:
        survived = self.tries - len(self.lost)
        return f"| kill -9 in {self.stage} | {self.tries} ({self.at_work} at work) | {survived} | {len(self.lost)} |"


class Killing:
    """Tries of one stage in a scratch folder; the moments are drawn from the stage, the seed and the number of the try."""

    def __init__(self, warm: Warm, bench: Bench, name: str, folder: Path, seed: int = 0) -> None:
        self.warm, self.bench, self.stage, self.folder = warm, bench, STAGES[name], folder
        self.outcome, self._seed = Outcome(name), seed
        self._durations: list[float] = []
        for path in folder.glob(f"{name}-*"):
            shutil.rmtree(path)
        # Twice: the first start may compile kernels, and bits must repeat before they can be compared.
        self.expected = self._undisturbed(folder / f"{name}-first")
        other = difference(self.expected, self._undisturbed(folder / f"{name}-second"))
        assert not other, f"{name} does not repeat itself undisturbed: {other}"

    def attempt(self) -> str:
        """Kill, start again, compare; what was lost, empty where nothing was."""
        name, outcome = self.stage.name, self.outcome
        out = self.folder / f"{name}-{outcome.tries}"
        out.mkdir(parents=True)
        delay = random.Random(f"{name} {self._seed} {outcome.tries}").uniform(0, self._durations[-1])
        child = self.warm.start(self.stage.command(self.bench, out), cwd=out)
        time.sleep(delay)
        child.send(SIGKILL)
        outcome.at_work += child.wait() == -9
        outcome.tries += 1
        problem = self._resumed(out)
        if problem:
            problem = f"{name}, killed after {delay:.3f} of {self._durations[-1]:.3f} s: {problem} ({out})"
            outcome.lost.append(problem)
        else:
            shutil.rmtree(out)
        return problem

    def _undisturbed(self, out: Path) -> dict[str, bytes]:
        out.mkdir(parents=True)
        began = time.monotonic()
        self.warm.run(self.stage.command(self.bench, out), cwd=out, timeout=900)
        self._durations.append(time.monotonic() - began)
        return self.stage.results(out)

    def _resumed(self, out: Path) -> str:
        again = (self.stage.again or self.stage.command)(self.bench, out)
        child = self.warm.start(again, cwd=out)
        code = child.wait(900)
        if code != 0:
            return f"exit code {code}: {child.output.strip()[-600:]}"
        try:
            return difference(self.expected, self.stage.results(out))
        except (AssertionError, OSError) as error:
            return f"{type(error).__name__}: {error}"


def difference(expected: dict[str, bytes], found: dict[str, bytes]) -> str:
    """What two sets of results do not share; empty where they are equal to the byte."""
    missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
    other = [name for name in expected.keys() & found.keys() if expected[name] != found[name]]
    parts = (("missing", missing), ("not expected", extra), ("other bytes", other))
    return "; ".join(f"{what}: {', '.join(sorted(names)[:4])}" for what, names in parts if names)
