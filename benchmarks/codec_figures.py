"""Figures of the string decoder for the docs, from the results of codec_decode.py.

python benchmarks/codec_figures.py --results results.json --data DIR --out docs/figures
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from codec_decode import interval, read
from matplotlib.axes import Axes

from crystalfw.core import Crystal
from crystalfw.plugins.representations.slices import Slices
from crystalfw.plugins.representations.slices.decoding.synthesis import compare
from crystalfw.plugins.representations.slices.encoding import bonded

plt.switch_backend("Agg")
COLOURS = {"plain": "#8c8c8c", "rigid": "#c44e52", "metric": "#4c72b0"}


def match_by_size(results: dict[str, Any], path: Path) -> None:
    """Strict matches against atoms per cell, with 95 % intervals."""
    figure, axes = plt.subplots(figsize=(6, 3.4))
    curves = [("mp_20 test plain", "plain", "-"), ("mp_20 test rigid", "rigid", "-"), ("mp_20 test metric", "metric", "-")]
    curves += [("mpts_52 test plain", "plain", "--"), ("mpts_52 test rigid", "rigid", "--")]
    for name, dialect, line in curves:
        found = results.get(f"round trip {name}")
        if found is None:
            continue
        rows = [row for row in found["by_size"] if row[2] >= 20]
        middle = np.array([(low + high) / 2 for low, high, _, _ in rows])
        share = np.array([good / count for _, _, count, good in rows])
        bounds = np.array([interval(good, count) for _, _, count, good in rows])
        spread = np.abs(bounds.T - share)
        axes.errorbar(
            middle, 100 * share, 100 * spread, ls=line, marker="o", ms=3, capsize=2, color=COLOURS[dialect], label=name
        )
    axes.set(xlabel="atoms per cell", ylabel="strict matches (%)", ylim=(None, 101))
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def contradiction(results: dict[str, Any], path: Path) -> None:
    """Matches and deviation against the size of the error of length tokens."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3))
    for dialect in ("rigid", "metric"):
        rows = [results.get(f"contradiction {dialect} {steps}") for steps in (0, 1, 2)]
        known = [(steps, row) for steps, row in enumerate(rows) if row is not None]
        steps = [step for step, _ in known]
        colour = COLOURS[dialect]
        left.plot(
            steps, [100 * row["strict"] / row["strings"] for _, row in known], "o-", color=colour, label=f"{dialect}, strict"
        )
        left.plot(
            steps, [100 * row["loose"] / row["strings"] for _, row in known], "o--", color=colour, label=f"{dialect}, loose"
        )
        right.plot(steps, [row["deviation"] for _, row in known], "o-", color=colour, label=dialect)
    left.set(xlabel="steps that every length is off", ylabel="matches (%)", xticks=[0, 1, 2])
    right.set(xlabel="steps that every length is off", ylabel="RMSE of strict matches", xticks=[0, 1, 2])
    left.legend(fontsize=8)
    right.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def draw(axes: Axes, crystal: Crystal, title: str) -> None:
    """The cell and its atoms, seen along a fixed direction."""
    turn = np.array([[0.87, 0.5, 0.0], [-0.17, 0.3, 0.94], [0.47, -0.81, 0.34]]).T
    corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]) @ crystal.lattice @ turn
    for first in range(8):
        for second in range(first + 1, 8):
            if bin(first ^ second).count("1") == 1:
                axes.plot(*corners[[first, second], :2].T, color="#999999", lw=0.7)
    shifts = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    places = (crystal.frac_coords % 1)[:, None] + shifts
    inside = (places <= 1.001).all(-1)
    atoms = places[inside] @ crystal.lattice @ turn
    numbers = np.repeat(crystal.numbers[:, None], 8, 1)[inside]
    order = atoms[:, 2].argsort()
    axes.scatter(*atoms[order, :2].T, c=plt.get_cmap("tab20")(numbers[order] % 20), s=45, edgecolors="k", linewidths=0.4)
    axes.set_title(title, fontsize=8)
    axes.set_aspect("equal")
    axes.axis("off")


def five_crystals(crystals: list[Crystal], path: Path) -> None:
    """Five crystals above the decodes of their plain strings (in reduced cells)."""
    codec = Slices()
    chosen = [crystal for crystal in crystals if 4 <= crystal.n_atoms <= 16][:5]
    decoded = codec.decode([outcome.string for outcome in codec.encode(chosen)])
    figure, axes = plt.subplots(2, 5, figsize=(9, 4))
    for column, (crystal, outcome) in enumerate(zip(chosen, decoded, strict=True)):
        net = bonded(crystal)
        draw(
            axes[0, column], Crystal(lattice=net.lattice, frac_coords=net.frac_coords, numbers=crystal.numbers), crystal.formula
        )
        if outcome.crystal is None:
            axes[1, column].axis("off")
            continue
        agreement = compare(net, outcome)
        word = ("no match", "loose", "strict")[agreement.score]
        draw(axes[1, column], outcome.crystal, f"{word}, RMSE {agreement.deviation:.3f}")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    results = json.loads(args.results.read_text())
    args.out.mkdir(parents=True, exist_ok=True)
    match_by_size(results, args.out / "codec_match_by_size.png")
    contradiction(results, args.out / "codec_contradiction.png")
    five_crystals(read(args.data, "mp_20", "test", 30), args.out / "codec_five_crystals.png")


if __name__ == "__main__":
    main()
