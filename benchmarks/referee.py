"""CPU time of each measure of the referee, a crystal at a time in one process: what 10,000 samples take follows from it.

    python benchmarks/referee.py PATH_OF_MP_20 [--samples 200]

Prints CPU seconds (of this process and its finished children) per sample and per known crystal, and peak memory.
"""

from __future__ import annotations

import argparse
import resource
import time

from crystalfw.core.evaluate.inputs import load_crystals
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.interfaces import MetricContext, Sample
from crystalfw.core.recipe.options import create
from crystalfw.core.system.sequences import Picked

METRICS = ("shares", "match", "distributions", "validity", "novelty", "novelty_steps", "leaks", "diversity", "symmetry",
           "coverage")  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder with train and test tables")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--known", type=int, default=1000, help="training crystals")
    args = parser.parse_args()
    import numpy as np

    reference, train = load_crystals(args.data, "test", quiet=True), load_crystals(args.data, "train", quiet=True)
    train = Picked(train, np.arange(args.known), _same)
    rng, samples = np.random.default_rng(0), list[Sample]()
    for k in range(args.samples):
        crystal = reference[int(rng.integers(len(reference)))]
        moved = crystal.frac_coords + rng.normal(scale=0.05, size=crystal.frac_coords.shape) @ np.linalg.inv(crystal.lattice)
        crystal = type(crystal)(lattice=crystal.lattice, frac_coords=moved, numbers=crystal.numbers, id=crystal.id)
        samples.append(Sample(str(k), 0, "", "ok", "", crystal, {}, crystal.id))
    known = Picked(reference, np.arange(args.samples), _same)
    for name in METRICS:
        with Workbench(workers=1, quiet=True) as bench:
            began = time.process_time()
            create("metric", name).compute(samples, known, MetricContext(bench=bench, train=train))
            print(f"{name:<16} {time.process_time() - began:7.2f} CPU s", flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def _same(crystal):  # type: ignore[no-untyped-def]
    return crystal


if __name__ == "__main__":
    main()
