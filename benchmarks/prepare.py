"""Preparation and loading: crystals per CPU second, memory, size on disk, padding.

    python benchmarks/prepare.py --path ../shared/data/mp_20 --workers 2
    python benchmarks/prepare.py --synthetic 100000

The synthetic crystals are those of the prototypes source, strained so that all differ. CPU seconds are those of all processes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import psutil

from crystalfw.core.crystal import Crystal
from crystalfw.core.data import Loader, LoaderOptions, prepare
from crystalfw.core.interfaces import Source
from crystalfw.core.model.assembly import source_name
from crystalfw.core.recipe.options import create
from crystalfw.core.recipe.schema import DataSection
from crystalfw.core.records import Record, Rejected

CUTOFF = 5.0


@dataclass
class Synthetic(Source):
    """`count` crystals: the prototypes again and again, strained by up to 3 %."""

    count: int

    def parts(self) -> tuple[str, ...]:
        return ("train",)

    def fingerprint(self) -> str:
        return f"synthetic {self.count}"

    def read(self, part: str) -> Iterator[Crystal | Rejected]:
        return map(self.parse, self.records(part))

    def records(self, part: str) -> Iterator[Record]:
        base = list(create("source", "prototypes", path=None).read("train"))
        for k in range(self.count):
            yield Record("synthetic", k + 1, (k, base[k % len(base)]))

    def parse(self, record: Record) -> Crystal | Rejected:
        k, crystal = record.content
        strain = 0.03 * np.random.default_rng(k).uniform(-1, 1, (3, 3))
        return replace(crystal, id=f"s-{k}", lattice=crystal.lattice @ (np.eye(3) + strain))


class Watch(threading.Thread):
    """CPU seconds and largest memory of this process and its children, polled."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.cpu: dict[int, float] = {}
        self.rss: dict[int, int] = {}
        self.stop = threading.Event()
        self.me = psutil.Process()
        self.before = sum(self.me.cpu_times()[:2])

    def run(self) -> None:
        while not self.stop.wait(0.1):
            self.poll()

    def poll(self) -> None:
        for process in [self.me, *self.me.children(recursive=True)]:
            try:
                self.cpu[process.pid] = sum(process.cpu_times()[:2])
                info = process.memory_info()
                # memory of its own: pages of mapped files are the system's cache and can be dropped at any time
                self.rss[process.pid] = max(self.rss.get(process.pid, 0), info.rss - info.shared)
            except psutil.Error:
                continue

    def result(self) -> tuple[float, float, float]:
        """CPU seconds of all processes; MB of this one, MB of the largest other one."""
        self.poll()
        self.stop.set()
        others = [size for pid, size in self.rss.items() if pid != self.me.pid]
        return sum(self.cpu.values()) - self.before, self.rss[self.me.pid] / 1e6, max(others, default=0) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path")
    parser.add_argument("--synthetic", type=int)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batches", type=int, default=300)
    args = parser.parse_args()
    source = Synthetic(args.synthetic) if args.synthetic else create("source", source_name(args.path), path=args.path)
    transforms = [create("transform", name) for name in ("standardize", "normalize_positions")]
    representation = create("representation", "slices")
    with tempfile.TemporaryDirectory() as cache:
        data = DataSection(cache=cache, workers=args.workers)
        options = {"key": "benchmark", "seed": 0, "cutoff": CUTOFF}
        watch, began = Watch(), time.perf_counter()
        watch.start()
        dataset = prepare(data, source, transforms, representation, **options)
        wall = time.perf_counter() - began
        cpu, main_mb, worker_mb = watch.result()
        began = time.process_time()
        prepare(data, source, transforms, representation, **options)
        reopen = time.process_time() - began
        loader = Loader(
            dataset.splits["train"],
            LoaderOptions(batch_size=32, seed=0, cutoff=CUTOFF, representation=representation, prefetch=0),
        )
        batches, real, computed, began = loader.batches(), 0, 0, time.process_time()
        for _ in range(args.batches):
            tokens = next(batches).tokens
            assert tokens is not None
            real, computed = real + int(tokens.lengths.sum()), computed + tokens.ids.numel()
        per_batch = (time.process_time() - began) / args.batches
        size = sum(path.stat().st_size for path in dataset.folder.rglob("*") if path.is_file())
        items = len(dataset) + dataset.rejected.total()
        print(json.dumps({
            "items": items, "crystals": len(dataset), "workers": args.workers, "wall_s": round(wall, 1), "cpu_s": round(cpu, 1),
            "items_per_cpu_s": round(items / cpu), "main_mb": round(main_mb), "worker_mb": round(worker_mb),
            "disk_kb_per_crystal": round(size / 1e3 / len(dataset), 2), "reopen_cpu_s": round(reopen, 2),
            "batch_ms": round(1e3 * per_batch, 2), "padding": round(computed / real, 3),
        }))  # fmt: skip
        shutil.rmtree(dataset.folder)


if __name__ == "__main__":
    main()
