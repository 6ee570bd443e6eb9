"""Test error of a property predictor against the number of training crystals, structure beside composition alone.

    python benchmarks/learning_curve.py DATA/mp_20 --recipe regress_formation_energy --sizes 1000 4000 --steps 6000

For each size the first rows of train.csv.gz are taken; validation and test parts stay whole. Every run is an ordinary
run of the recipe with `fit.steps` set; prints one line per run and a Markdown table.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import tempfile
from pathlib import Path

from crystalfw.core.recipe import load_recipe
from crystalfw.core.run.run import run_recipe


def first_rows(source: Path, target: Path, rows: int) -> None:
    """A data folder with only so many training crystals; cells hold line breaks, so rows are counted by the csv reader."""
    import csv

    target.mkdir(parents=True)
    for part in ("val", "test"):
        os.symlink(source.resolve() / f"{part}.csv.gz", target / f"{part}.csv.gz")
    with (
        gzip.open(source / "train.csv.gz", "rt", newline="", encoding="utf-8") as given,
        gzip.open(target / "train.csv.gz", "wt", newline="", encoding="utf-8") as kept,
    ):
        csv.writer(kept).writerows(itertools.islice(csv.reader(given), rows + 1))


def test_errors(folder: Path, recipe: str, overrides: list[str]) -> dict[str, float]:
    """Column -> mean absolute error on the test part."""
    run = run_recipe(load_recipe(recipe, overrides), say=lambda line: None)
    assert run is not None
    prediction = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["prediction"]
    return {name: figures["mae"] for name, figures in prediction.items()}


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", default="regress_formation_energy")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--cache", default=".cache/crystalfw")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for size in args.sizes:
            data = Path(scratch) / str(size)
            first_rows(args.data, data, size)
            for encoder, keys in {"equivariant": [], "composition": ["model.encoder=composition"]}.items():
                common = [f"data.path={data}", f"data.cache={args.cache}", f"run_dir={scratch}/runs", "fit.max_minutes=null"]
                errors = test_errors(data, args.recipe, [*common, f"fit.steps={args.steps}", *keys])
                rows += [(size, encoder, name, error) for name, error in errors.items()]
                print(*rows[-1], flush=True)
    print("| training crystals | encoder | column | test MAE |\n|---:|---|---|---:|")
    for size, encoder, name, error in rows:
        print(f"| {size:,} | {encoder} | {name} | {error:.4f} |")


if __name__ == "__main__":
    main()
