"""Two processes against one, wall clock: prepare, encode, decode, evaluate, fit, each as a user would run it.

    python benchmarks/processes.py DATA/mp_20 [--rows 6000] [--repeats 2] [--stages prepare,decode]

Needs idle cores: how busy they were before is printed. Start and imports count, so compiled code should be on disk: after a
change of it the first run does not count. One thread per process. `fit` is in seconds per 100,000 tokens.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import psutil

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def crystalfw(*arguments: object) -> None:
    """One command of crystalfw, in a process of its own."""
    command = [sys.executable, "-m", "crystalfw", *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])


class Stages:
    """Every stage as a function of the number of processes; each starts from nothing."""

    def __init__(self, data: Path, folder: Path, rows: int) -> None:
        self.data, self.folder, self.rows = data, folder, rows
        self.table = folder / "some.csv"
        with gzip.open(data / "train.csv.gz", "rt", newline="") as given, self.table.open("w", newline="") as kept:
            csv.writer(kept).writerows(itertools.islice(csv.reader(given), rows + 1))
        self.strings = folder / "strings.csv"
        crystalfw("encode", self.table, "-o", self.strings, "--workers", 1)

    def prepare(self, processes: int) -> float:
        """Every crystal of the data set: cells, strings, neighbours."""
        cache = self.folder / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        keys = (f"data.path={self.data}", f"data.cache={cache}", f"data.workers={processes}")
        return _timed("data", "prepare", "xattn", *keys)

    def encode(self, processes: int) -> float:
        """The rows of the table to strings."""
        return self._rows("encode", self.table, processes)

    def decode(self, processes: int) -> float:
        """Their strings to crystals."""
        return self._rows("decode", self.strings, processes)

    def evaluate(self, processes: int) -> float:
        """Decoded crystals against the table, compared in pairs."""
        decoded = self.folder / "samples.csv"
        if not decoded.exists():
            crystalfw("decode", self.strings, "-o", decoded, "--workers", 1)
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        common = ("--metrics", "match", "--match-by-id", "--out", out, "--workers", processes)
        return _timed("evaluate", decoded, "--reference", self.table, *common)

    def fit(self, processes: int) -> float:
        """Seconds per 100,000 tokens of the same global batch, over the later half of 160 steps."""
        runs = self.folder / "runs"
        shutil.rmtree(runs, ignore_errors=True)
        keys = {
            "data.path": self.data, "data.cache": self.folder / "fit", "run_dir": runs, "fit.steps": 160, "fit.log_every": 10,
            "fit.validation_batches": 1, "fabric.devices": processes, "fabric.threads": 1, "sample.n": 1,
            "fabric.precision": "bf16-mixed",
        }  # fmt: skip
        crystalfw("run", "xattn", *(f"{key}={value}" for key, value in keys.items()))
        with next(runs.glob("*-*/metrics.csv")).open(newline="") as file:
            rows = list(csv.DictReader(file))
        tokens = [float(row["tokens"]) for row in rows]
        elapsed = [float(row["elapsed_s"]) for row in rows]
        half = len(rows) // 2
        return (elapsed[-2] - elapsed[half]) / (tokens[-2] - tokens[half]) * 1e5

    def _rows(self, command: str, path: Path, processes: int) -> float:
        out = self.folder / f"{command}d.csv"
        for stale in self.folder.glob(f"{out.name}*"):
            stale.unlink()
        return _timed(command, path, "-o", out, "--workers", processes)


def _timed(*arguments: object) -> float:
    began = time.perf_counter()
    crystalfw(*arguments)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--stages", default="prepare,encode,decode,evaluate,fit")
    args = parser.parse_args()
    print("| stage | one process, s | two processes, s | speed-up | busy cores before |\n|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch:
        stages = Stages(args.data.resolve(), Path(scratch), args.rows)
        for name in args.stages.split(","):
            measure: Callable[[int], float] = getattr(stages, name)
            busy, found = [], dict[int, list[float]]()
            for _, processes in itertools.product(range(args.repeats), (1, 2)):
                busy.append(psutil.cpu_percent(1.0) / 100 * (psutil.cpu_count() or 1))
                found.setdefault(processes, []).append(measure(processes))
            one, two = median(found[1]), median(found[2])
            print(f"| {name} | {one:.1f} | {two:.1f} | {one / two:.2f} | {max(busy):.1f} |", flush=True)


if __name__ == "__main__":
    main()
