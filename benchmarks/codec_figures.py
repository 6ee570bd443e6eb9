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
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalfw.core import Crystal
from crystalfw.plugins.representations.slices import Slices
from crystalfw.plugins.representations.slices.encoding import bonded
from crystalfw.plugins.representations.slices.lengths.synthesis import STRICT, compare

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


def like(reference: Crystal, other: Crystal) -> Crystal | None:
    """The other crystal with the atoms, origin and orientation of the reference, as near as it comes; None without match."""
    ltol, stol, angle_tol = STRICT
    matcher = StructureMatcher(ltol=ltol, stol=stol, angle_tol=angle_tol, primitive_cell=False)
    found = matcher.get_s2_like_s1(reference.structure, other.structure)
    if found is None:
        return None
    lattice = found.lattice.matrix
    left, _, right = np.linalg.svd(np.linalg.inv(lattice) @ reference.lattice)
    return Crystal(lattice=lattice @ left @ right, frac_coords=found.frac_coords, numbers=np.array(found.atomic_numbers))


def draw(axes: Axes, crystal: Crystal, images: np.ndarray, title: str) -> None:
    """The cell and the chosen images (rows atom, shift) of its atoms, seen along a fixed direction."""
    turn = np.array([[0.87, 0.5, 0.0], [-0.17, 0.3, 0.94], [0.47, -0.81, 0.34]]).T
    corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]) @ crystal.lattice @ turn
    for first in range(8):
        for second in range(first + 1, 8):
            if bin(first ^ second).count("1") == 1:
                axes.plot(*corners[[first, second], :2].T, color="#999999", lw=0.7)
    atoms = (crystal.frac_coords[images[:, 0]] + images[:, 1:]) @ crystal.lattice @ turn
    order = atoms[:, 2].argsort()
    colours = plt.get_cmap("tab20")(crystal.numbers[images[order, 0]] * 7 % 20)
    axes.scatter(*atoms[order, :2].T, c=colours, s=45, edgecolors="k", linewidths=0.4)
    axes.set_title(title, fontsize=8)
    axes.set_aspect("equal")
    axes.axis("off")


def five_crystals(crystals: list[Crystal], path: Path) -> None:
    """Five crystals above the decodes of their plain strings, turned and shifted onto them."""
    codec = Slices()
    chosen = [crystal for crystal in crystals if 4 <= crystal.n_atoms <= 16]
    decoded = codec.decode([outcome.string for outcome in codec.encode(chosen)])
    figure, axes = plt.subplots(2, 5, figsize=(9, 4.4))
    column = 0
    for crystal, outcome in zip(chosen, decoded, strict=True):
        net = bonded(crystal)
        original = Crystal(lattice=net.lattice, frac_coords=net.frac_coords, numbers=crystal.numbers)
        turned = like(original, outcome.crystal) if outcome.crystal is not None else None
        if turned is None or column == 5:
            continue
        # the matcher orders the atoms as in the reference, at the nearest images
        shifts = np.array([[a, b, c] for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)])
        places = original.frac_coords[:, None] + shifts
        atom, shift = ((places > -0.001) & (places < 1.001)).all(-1).nonzero()
        images = np.column_stack([atom, shifts[shift]])
        draw(axes[0, column], original, images, crystal.formula)
        draw(axes[1, column], turned, images, f"RMSE {compare(net, outcome).deviation:.3f}")
        column += 1
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
