"""Soak: fit, sample and evaluate in a loop within one process; memory, open files and threads after every round.

    python benchmarks/soak.py --minutes 120 --folder FOLDER      rows in FOLDER/soak.csv, verdict at the end

Exit code 1 where memory of the last quarter of the rounds is more than 5 % above that of the second quarter, or files or
threads pile up. The first quarter is not judged: caches of libraries fill there.
"""

from __future__ import annotations

import argparse
import csv
import gc
import shutil
import sys
import time
from pathlib import Path
from statistics import median

import psutil

from crystalfw.core.evaluate.evaluation import evaluate
from crystalfw.core.recipe import load_recipe
from crystalfw.core.recipe.schema import ComponentSpec
from crystalfw.core.run.run import run_recipe

COLUMNS = ("round", "minutes", "private_mb", "files", "threads", "children")
METRICS = tuple(ComponentSpec(name=name) for name in ("shares", "match", "distributions", "coverage"))


def round_of(folder: Path, number: int) -> None:
    """One run of the smoke recipe (prepared data come from the cache but for every tenth), and one evaluation more."""
    if number % 10 == 9:
        shutil.rmtree(folder / "cache", ignore_errors=True)
    options = {"run_dir": folder / "runs", "data.cache": folder / "cache", "seed": 0}
    recipe = load_recipe("smoke", [f"{key}={value}" for key, value in options.items()])
    run_dir = run_recipe(recipe, say=lambda message: None)
    assert run_dir is not None
    evaluate(run_dir, None, METRICS[:1], out=folder / "again", workers=1, quiet=True)
    shutil.rmtree(folder / "runs")


def private_mb(process: psutil.Process) -> float:
    """Anonymous memory. Unique pages (USS) would also count those of libraries that no other process happens to map."""
    info = process.memory_info()
    return float(info.rss - info.shared) / 1e6


def verdict(rows: list[dict[str, float]]) -> list[str]:
    """What piled up; empty where nothing did."""
    quarter = max(1, len(rows) // 4)
    before, after = rows[quarter : 2 * quarter] or rows, rows[-quarter:]
    memory = [median(row["private_mb"] for row in part) for part in (before, after)]
    found = []
    if memory[1] > 1.05 * memory[0]:
        found.append(f"memory: {memory[0]:.0f} MB, then {memory[1]:.0f} MB")
    found += [
        f"{name}: {before[-1][name]:.0f}, then {after[-1][name]:.0f}"
        for name in ("files", "threads", "children")
        if after[-1][name] > before[-1][name]
    ]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    process, began, rows = psutil.Process(), time.monotonic(), []
    with open(args.folder / "soak.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        while time.monotonic() - began < 60 * args.minutes:
            round_of(args.folder, len(rows))
            gc.collect()
            row = {
                "round": len(rows), "minutes": round((time.monotonic() - began) / 60, 2),
                "private_mb": round(private_mb(process), 1), "files": process.num_fds(), "threads": process.num_threads(),
                "children": len(process.children(recursive=True)),
            }  # fmt: skip
            rows.append(row)
            writer.writerow(row)
            file.flush()
    found = verdict(rows)
    print(f"{len(rows)} rounds in {rows[-1]['minutes']:.0f} minutes: {'; '.join(found) or 'nothing piles up'}")
    print(f"memory {rows[0]['private_mb']:.0f} MB after the first round, {rows[-1]['private_mb']:.0f} MB after the last")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
