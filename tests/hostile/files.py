"""Broken structure files, one after the other, through a process that is watched: crash, hang, execution, memory."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.hostile.corpus import Hostile

HANG = 150.0
"""CPU seconds of one file after which it hangs; wall time says nothing on a busy machine."""
MAX_MB = 1500
"""Largest memory of the reading process, libraries (some 350 MB) included."""
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Result:
    """A file and what became of it; ending `crash` or `hang` where the process died or was killed."""

    file: Hostile
    ending: str
    reasons: tuple[str, ...]
    seconds: float
    peak_mb: int

    @property
    def survived(self) -> bool:
        return self.ending in ("crystals", "set aside", "refused") and self.peak_mb <= MAX_MB


class Reader:
    """The reading process; started again where a file killed it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._start()

    def _start(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
        self._errors = open(self.folder / "stderr", "w+")  # noqa: SIM115 - closed by close
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.reader"], cwd=self.folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip

    def read(self, file: Hostile) -> Result:
        """Write the file, have it read, remove it."""
        path = self.folder / file.name
        path.write_bytes(file.content)
        try:
            return self._read(file, path)
        finally:
            path.unlink()

    def _read(self, file: Hostile, path: Path) -> Result:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(str(path)) + "\n")
        self._process.stdin.flush()
        watched, before = psutil.Process(self._process.pid), None
        while not select.select([self._process.stdout], [], [], 0.5)[0]:
            used = sum(watched.cpu_times()[:2])
            before = used if before is None else before
            if used - before > HANG:
                return self._died(file, "hang", used - before)
        line = self._process.stdout.readline()
        if not line:
            return self._died(file, "crash", 0.0)
        found = json.loads(line)
        return Result(file, found["ending"], tuple(found["reasons"]), found["seconds"], found["peak_mb"])

    def _died(self, file: Hostile, ending: str, seconds: float) -> Result:
        self.close()
        last = (self.folder / "stderr").read_text(errors="replace").strip().splitlines()
        self._start()
        return Result(file, ending, (last[-1] if last else "",), seconds, 0)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def attack(files: Iterable[Hostile], folder: Path) -> Iterator[Result]:
    """Read every file; asserts at each that nothing in it was run."""
    folder.mkdir(parents=True, exist_ok=True)
    reader = Reader(folder)
    try:
        for file in files:
            yield reader.read(file)
            assert not (folder / "executed").exists(), f"{file.kind}, {file.what}: code in the file was run"
    finally:
        reader.close()


def table(results: Iterable[Result]) -> list[str]:
    """Markdown: what was broken, how many files, what became of them."""
    groups: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for result in results:
        groups[result.file.kind, result.file.what][result.ending] += 1
    lines = ["| format | what | files | crystals | set aside | refused | crash or hang |", "|---|---|--:|--:|--:|--:|--:|"]
    for (kind, what), counts in sorted(groups.items()):
        cells = [counts["crystals"], counts["set aside"], counts["refused"], counts["crash"] + counts["hang"]]
        lines.append(f"| {kind} | {what} | {counts.total()} | {' | '.join(map(str, cells))} |")
    return lines


def run(files: Iterable[Hostile], folder: Path) -> list[Result]:
    """All results, with progress on the screen."""
    results, printed = [], time.monotonic()
    for result in attack(files, folder):
        results.append(result)
        if not result.survived or result.seconds > 20:
            print(f"{result.file.name} ({result.file.what}): {result.ending}, {result.seconds:.0f} s, {result.peak_mb} MB, "
                  f"{'; '.join(result.reasons)}", flush=True)  # fmt: skip
        if time.monotonic() - printed > 20:
            printed = time.monotonic()
            print(f"{len(results)} files", flush=True)
    return results
