"""Every measure but energies on many samples: CPU seconds of all processes, wall time, peak memory.

    python benchmarks/referee.py DATA/mp_20 OUT [--samples 10000] [--workers 2] [--metrics coverage,match]

The samples are the answers of the baseline `exchange` to the cells of mp_20 test, several for each; they are judged against
mp_20 test and all of mp_20 train. Answers already in OUT/answers.partial are not counted again: use a new folder.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from crystalfw.core.evaluate.contenders import make_baseline
from crystalfw.core.evaluate.evaluation import CanonicalKey
from crystalfw.core.evaluate.inputs import load_crystals, load_samples
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.interfaces import MetricContext
from crystalfw.core.recipe.options import checked, create
from crystalfw.core.recipe.schema import ComponentSpec
from crystalfw.core.records import Wanted

METRICS = "coverage,distributions,validity,diversity,symmetry,shares,novelty,novelty_steps,leaks,match"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with train.csv.gz and test.csv.gz")
    parser.add_argument("out", type=Path)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--metrics", default=METRICS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    train, reference = (load_crystals(args.data / f"{part}.csv.gz", part, folder=args.out) for part in ("train", "test"))
    cells = [(one.id, tuple(sorted(one.numbers.tolist()))) for one in reference]
    wanted = [Wanted(f"{k:06d}", cells[k % len(cells)][1], cells[k % len(cells)][0], k // len(cells))
              for k in range(args.samples)]  # fmt: skip
    spec = checked("baseline", ComponentSpec(name="exchange"))
    table = make_baseline(spec, wanted, train, args.out / "exchange", free=False, seed=0, say=print).path
    samples = load_samples(table, folder=args.out)
    print(Counter(sample.status for sample in samples), flush=True)
    watch, total = Watch(), 0.0
    with Workbench(workers=args.workers, store=args.out / "answers.partial", quiet=True) as bench:
        context = MetricContext(bench=bench, train=train, key=CanonicalKey("slices"))
        for name in args.metrics.split(","):
            began, used = time.monotonic(), watch.cpu()
            metric = create("metric", name, {"n": [1, 5]} if name == "match" else {})
            metric.compute(samples, reference, context)
            used = watch.cpu() - used
            total += used
            print(
                f"{name:<16} {used:8.1f} CPU s {time.monotonic() - began:8.1f} s, peak so far {watch.peak:.0f} MiB", flush=True
            )
    print(f"{'all':<16} {total:8.1f} CPU s, {total / args.workers:.0f} s on {args.workers} cores if they are free")


class Watch:
    """CPU time and memory of this process and all below it; memory is that of every process, what is shared divided."""

    def __init__(self) -> None:
        self.peak, self._cpu = 0.0, dict[int, float]()
        threading.Thread(target=self._run, daemon=True).start()

    def cpu(self) -> float:
        """Seconds so far; a process that has ended counts with what it was last seen to have used."""
        for pid in list(_tree()):
            with suppress(OSError, ValueError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                self._cpu[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return sum(self._cpu.values())

    def _run(self) -> None:
        while True:
            self.peak = max(self.peak, sum(_memory(pid) for pid in list(_tree())))
            self.cpu()
            time.sleep(1.0)


def _tree() -> Iterator[int]:
    """This process and its descendants."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    yield from found


def _memory(pid: int) -> float:
    """MiB of a process, pages that it shares divided by those who share them."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
