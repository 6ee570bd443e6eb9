"""The process that reads hostile files: paths come in on stdin, an outcome goes out for each; it may be killed at any time.

python -m tests.hostile.reader     in an empty folder: a file `executed` there means that something was run
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from crystalfw.core.data.shard import Job, process
from crystalfw.core.errors import CrystalfwError
from crystalfw.core.recipe.auto_source import source_name
from crystalfw.core.recipe.options import create

MAX_ADDRESS = 8 * 2**30
"""Bytes of address space: a bomb ends in this process, not in the machine."""


@dataclass(frozen=True)
class Outcome:
    """What became of a file."""

    ending: str
    """`crystals`, `set aside` (rows with their reasons) or `refused` (the whole file, with a sentence)."""
    crystals: int
    reasons: list[str]
    seconds: float
    """CPU seconds."""


def read(path: Path) -> Outcome:
    """Through everything that preparation does: source, checks, transforms, string, neighbours."""
    began = time.process_time()
    source = create("source", source_name(str(path)), path=str(path))
    transforms = tuple(create("transform", name) for name in ("standardize", "normalize_positions"))
    job = Job(
        source=source, transforms=transforms, representation=create("representation", "slices"), cutoff=4.0,
        max_atoms=64, seed=0, cut=(),
    )  # fmt: skip
    crystals, reasons = 0, []
    try:
        source.fingerprint()
        records = source.records("train")
        while chunk := list(islice(records, 256)):
            block = process(job, "train", 0, chunk)
            assert len(block.part) + len(block.rejected) == len(chunk), "a row was lost"
            crystals += len(block.part)
            reasons += [item.reason for item in block.rejected]
        assert all(reason.strip() for reason in reasons), "a row was set aside without a reason"
        ending = "crystals" if crystals else "set aside"
    except CrystalfwError as error:
        ending, reasons = "refused", [str(error)]
    return Outcome(ending, crystals, [reason[:200] for reason in reasons[:3]], round(time.process_time() - began, 3))


def peak_mb() -> int:
    """Largest memory of this program in MB.

    From the kernel's mark of the program itself: `ru_maxrss` survives the exec, so a reader that a large test
    process started would begin with that process's memory.
    """
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    marks = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(marks["VmHWM"].split()[0]) // 1024


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS, MAX_ADDRESS))
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        outcome = asdict(read(Path(json.loads(line))))
        outcome["peak_mb"] = peak_mb()
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
