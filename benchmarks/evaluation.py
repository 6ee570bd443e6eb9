"""How long an evaluation takes: 10,000 samples against 14,604 reference crystals, on all cores.

    python benchmarks/evaluation.py PATH_OF_MP_20 [--samples 10000] [--workers 2]

Samples are crystals of the train, validation and test part, displaced, strained and partly with exchanged elements; each
names the crystal that it was made from. Reference and training crystals are the train part. Prints wall time by metric,
CPU time, and peak memory of this process and of its largest worker.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.evaluate.evaluation import evaluate
from crystalfw.core.evaluate.inputs import load_crystals
from crystalfw.core.recipe.schema import ComponentSpec
from crystalfw.core.records import Sample
from crystalfw.core.sample.table import write_samples


def disturbed(crystals: list[Crystal], count: int, seed: int = 0) -> Iterator[Sample]:
    """Samples as a middling generator would write them."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        source = crystals[int(rng.integers(len(crystals)))]
        common = {"id": f"{index:06d}", "seed": seed, "string": "", "reference_id": source.id}
        if rng.random() < 0.03:
            yield Sample(**common, status="decode", reason="geometry", crystal=None)
            continue
        lattice = source.lattice @ (np.eye(3) + rng.normal(scale=0.03, size=(3, 3)))
        moved = rng.normal(scale=rng.choice([0.02, 0.1, 0.4]), size=source.frac_coords.shape) @ np.linalg.inv(source.lattice)
        numbers = rng.permutation(source.numbers) if rng.random() < 0.2 else source.numbers
        crystal = Crystal(lattice=lattice, frac_coords=source.frac_coords + moved, numbers=numbers)
        yield Sample(**common, status="ok", reason="", crystal=crystal)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder with train, val and test tables")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=0)
    args = parser.parse_args()
    crystals = [crystal for part in ("train", "val", "test") for crystal in load_crystals(args.data, part)]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "samples.csv"
        write_samples(disturbed(crystals, args.samples), table)
        train = load_crystals(args.data, "train")
        del crystals
        began = time.monotonic()
        metrics = [ComponentSpec(name=name) for name in ("shares", "match", "distributions")]
        record = evaluate(table, train, metrics, training=train, out=folder, workers=args.workers)
        seconds = time.monotonic() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print("\n".join(record["summary"]))
    by_metric = {name: item["seconds"] for name, item in record["metrics"].items()}
    match = record["metrics"]["match"]["result"]
    shares = record["metrics"]["shares"]["result"]
    facts = {
        "samples": record["samples"]["count"],
        "references": record["reference"]["count"],
        "seconds": round(seconds, 1),
        "seconds_by_metric": by_metric,
        "pairs_with_rms": match["trouble"],
        "comparisons": shares["comparisons"],
        "cpu_seconds_with_making_samples": round(sum(item.ru_utime + item.ru_stime for item in used)),
        "peak_MiB": round(used[0].ru_maxrss / 1024),
        "largest_worker_MiB": round(used[1].ru_maxrss / 1024),
    }
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
