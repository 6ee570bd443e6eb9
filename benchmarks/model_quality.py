"""Property hits of a conditional model: what was asked, what a predictor says of the samples, every sample counted.

    python benchmarks/model_quality.py mp-property mp-energies band_gap 0.5 6 --within 0.5 --guidance 0 1 2 3
    python benchmarks/model_quality.py mp-property mp-energies formation_energy_per_atom -3.5 -0.5 --within 0.15

Targets are spread evenly over the range. A sample without a crystal is a miss; the mean error is over crystals. Guidance 0 asks
nothing: the model's own distribution dealt to the targets, which is the baseline.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import crystalfw
from crystalfw.core.sample.trained import Trained


def obtained(model: Trained, column: str, target: float, per: int, guidance: float, seed: int) -> list[crystalfw.Sample]:
    """`per` outcomes for one target."""
    if guidance == 0:
        return model.sample(per, seed=seed, failed=True, **SETTINGS)
    return model.sample(per, condition={column: target}, seed=seed, failed=True, guidance=guidance, **SETTINGS)


SETTINGS: dict[str, float] = {"temperature": 0.8}


def main() -> None:
    """Print one row for each guidance."""
    parser = argparse.ArgumentParser()
    for name in ("model", "predictor", "column"):
        parser.add_argument(name)
    parser.add_argument("low", type=float)
    parser.add_argument("high", type=float)
    parser.add_argument("--targets", type=int, default=12)
    parser.add_argument("--per", type=int, default=20)
    parser.add_argument("--within", type=float, default=0.5)
    parser.add_argument("--guidance", type=float, nargs="+", default=[0, 1, 2])
    parser.add_argument("--candidates", type=int)
    args = parser.parse_args()
    if args.candidates:
        SETTINGS.update(candidates=args.candidates, keep=1)
    model, predictor = crystalfw.load(args.model), crystalfw.load(args.predictor)
    print(f"{args.column}: {args.targets} targets from {args.low} to {args.high}, {args.per} samples each, {SETTINGS}")
    print("| guidance | crystals, % of samples | mean error of crystals | median error | hits, % of samples |")
    print("|---|---:|---:|---:|---:|")
    for guidance in args.guidance:
        errors, count = [], 0
        for number, target in enumerate(np.linspace(args.low, args.high, args.targets)):
            samples = obtained(model, args.column, float(target), args.per, guidance, 100 + number)
            count += len(samples)
            crystals = [sample.crystal for sample in samples if sample.crystal is not None]
            if crystals:
                errors += list(np.abs(predictor.predict(crystals)[args.column] - target))
            print(".", end="", file=sys.stderr, flush=True)
        error = np.array(errors)
        hits = float((error <= args.within).sum()) / count
        figures = (100 * len(error) / count, error.mean(), np.median(error), 100 * hits)
        print("| {:g} | {:.1f} | {:.3f} | {:.3f} | {:.1f} |".format(guidance, *figures), flush=True)


if __name__ == "__main__":
    main()
