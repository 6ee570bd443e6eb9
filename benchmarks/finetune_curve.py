"""What a delivered generator gives a small data set: fine-tuned against trained from nothing, property hits of every sample.

    python benchmarks/finetune_curve.py DATA/mp_elasticity --start mp-unconditional --sizes 50 200 1000 --seeds 0 1 2

The first rows of the train part, shuffled by the seed, with the column `bulk_modulus_vrh`, which the delivered generator never
saw. Both models have the same recipe (`finetune`), size, number of steps and seed; they differ in the weights they start from.
A hit is a crystal whose bulk modulus, as mp-energies predicts it, is within `--within` GPa of the target; a sample without a
crystal is a miss. Prints a row for each run and a table with means and standard errors over seeds.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
import statistics
import tempfile
from pathlib import Path

import numpy as np

import crystalfw
from crystalfw.core.recipe import load_recipe
from crystalfw.core.run.run import run_recipe

COLUMN = "bulk_modulus_vrh"
LIKE_THE_DELIVERED_ONE = ["model.decoder.n_layers=3", "model.decoder.dim=128", "fabric.threads=1", "fabric.precision=32-true"]


def some_rows(source: Path, target: Path, size: int, seed: int) -> None:
    """`size` rows of the train part that have the column, and a tenth as many of the validation part, as a data folder."""
    target.mkdir(parents=True)
    for part, count in (("train", size), ("val", max(10, size // 10))):
        with gzip.open(source / f"{part}.csv.gz", "rt", newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row[COLUMN]]
        random.Random(seed).shuffle(rows)
        with gzip.open(target / f"{part}.csv.gz", "wt", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ("material_id", COLUMN, "cif"), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows[:count])


def trained(data: Path, start: str | None, seed: int, steps: int) -> Path:
    """The run folder of one model."""
    weights = ["model.checkpoint=null", "model.load=exact"] if start is None else [f"model.checkpoint={start}"]
    keys = [
        f"data.path={data}", f"data.cache={data}/cache", f"run_dir={data}/runs", f"model.encoder.columns=[{COLUMN}]",
        f"seed={seed}", f"fit.steps={steps}", "fit.batch_size=16", "fit.warmup=30", "fit.validate_every=50",
        f"fit.checkpoint_every={steps}", "sample.n=1", "evaluate.metrics=[]", "fit.max_minutes=null",
    ]  # fmt: skip
    run = run_recipe(load_recipe("finetune", [*keys, *weights, *LIKE_THE_DELIVERED_ONE]), say=lambda line: None)
    assert run is not None
    return run


def judged(run: Path, predictor: object, targets: np.ndarray, per: int, within: float) -> tuple[float, float, float]:
    """Shares of all samples: crystals, hits; and the mean error of the crystals in GPa."""
    model = crystalfw.load(run)
    errors: list[float] = []
    for number, target in enumerate(targets):
        found = model.sample(per, condition={COLUMN: float(target)}, seed=number, temperature=0.8, guidance=2.0)
        if found:
            errors += np.abs(predictor.predict(found)[COLUMN] - target).tolist()  # type: ignore[attr-defined]
    count = per * len(targets)
    hits = sum(error <= within for error in errors)
    return len(errors) / count, hits / count, statistics.fmean(errors) if errors else float("nan")


def main() -> None:
    """Train, sample, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--start", default="mp-unconditional")
    parser.add_argument("--predictor", default="mp-energies")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--targets", type=int, default=6)
    parser.add_argument("--per", type=int, default=10)
    parser.add_argument("--within", type=float, default=30.0)
    args = parser.parse_args()
    predictor, targets = crystalfw.load(args.predictor), np.linspace(30, 280, args.targets)
    found: dict[tuple[int, str], list[tuple[float, float, float]]] = {}
    print("| crystals | start | seed | crystals, % of samples | hits, % of samples | mean error, GPa |")
    print("|---|---|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch:
        for size in args.sizes:
            for seed in args.seeds:
                for name, start in (("delivered", args.start), ("nothing", None)):
                    data = Path(scratch) / f"{size}-{seed}-{name}"
                    some_rows(args.data, data, size, seed)
                    made = judged(trained(data, start, seed, args.steps), predictor, targets, args.per, args.within)
                    found.setdefault((size, name), []).append(made)
                    shares = f"{100 * made[0]:.0f} | {100 * made[1]:.1f} | {made[2]:.1f}"
                    print(f"| {size} | {name} | {seed} | {shares} |", flush=True)
    print("\n| crystals | start | hits, % of samples, mean over seeds | standard error |\n|---|---|---:|---:|")
    for (size, name), runs in found.items():
        hits = [100 * hit for _, hit, _ in runs]
        error = statistics.stdev(hits) / len(hits) ** 0.5 if len(hits) > 1 else float("nan")
        print(f"| {size} | {name} | {statistics.fmean(hits):.1f} | {error:.1f} |")


if __name__ == "__main__":
    main()
