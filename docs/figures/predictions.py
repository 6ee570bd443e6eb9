"""Draws twelve predictions beside their references: python docs/figures/predictions.py SAMPLES.csv REFERENCES.csv.gz ID ...

SAMPLES is what `crystalfw predict --cell -o` wrote; each id is that of a reference. Writes predictions.png beside itself.
Needs matplotlib.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from crystalfw.core.crystal import Crystal
from crystalfw.core.geometry.matcher import matcher

HERE = Path(__file__).parent
COLUMNS = 4
RADIUS = 900.0


def conventional(crystal: Crystal) -> Crystal:
    """The conventional cell, so that both are seen along the same axes."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    return Crystal.from_structure(SpacegroupAnalyzer(crystal.structure, symprec=0.1).get_conventional_standard_structure())


def draw(axis: plt.Axes, crystal: Crystal, colours: dict[int, str], title: str) -> None:
    """Atoms of one cell with those on its faces, seen a little from the side and scaled to one size."""
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    turn = _rotation()
    frame = corners @ crystal.lattice @ turn
    middle, size = frame.mean(0), np.ptp(frame, axis=0).max()
    for a, b in itertools.combinations(range(8), 2):
        if np.abs(corners[a] - corners[b]).sum() == 1:
            axis.plot(*((frame[[a, b]] - middle) / size).T[[0, 1]], color="0.6", lw=0.6, zorder=-10)
    frac = np.mod(crystal.frac_coords + 1e-4, 1.0) - 1e-4
    for place, number in zip(frac, crystal.numbers.tolist(), strict=True):
        shifts = itertools.product(*([0, 1] if abs(x) < 0.02 else [0] for x in place))
        for shift in shifts:
            x, y, depth = ((place + np.array(shift)) @ crystal.lattice @ turn - middle) / size
            axis.scatter(x, y, s=RADIUS / size**1.4, c=colours[number], edgecolors="0.2", linewidths=0.4, zorder=depth)
    axis.set_title(title, fontsize=6.5)
    axis.set_xlim(-0.62, 0.62)
    axis.set_ylim(-0.62, 0.62)
    axis.set_aspect("equal")
    axis.axis("off")


def _rotation() -> np.ndarray:
    a, b = np.deg2rad(20), np.deg2rad(-75)
    around_z = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
    around_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    return around_z @ around_x


def main(samples: Path, references: Path, ids: list[str]) -> None:
    """One pair of pictures for each id."""
    with open(samples, newline="") as file:
        best = {row["reference_id"]: row for row in csv.DictReader(file) if row["rank"] == "1" and row["reference_id"] in ids}
    with gzip.open(references, "rt", newline="") as file:
        known = {row["material_id"]: row["cif"] for row in csv.DictReader(file) if row["material_id"] in ids}
    rows = -(-len(ids) // COLUMNS)
    figure, axes = plt.subplots(rows, 2 * COLUMNS, figsize=(10.5, 1.75 * rows))
    for axis in axes.ravel():
        axis.axis("off")
    for k, id in enumerate(ids):
        row, truth = best[id], Crystal.from_cif(known[id])
        guess = Crystal.from_cif(row["cif"])
        distance = matcher("loose").get_rms_dist(truth.structure, guess.structure)
        said = f"{100 * float(row['probability']):.0f} %"
        verdict = "no match" if distance is None else f"RMSE {distance[0]:.3f}"
        colours = dict(
            zip(sorted(set(truth.numbers.tolist())), ("#4477aa", "#ee6677", "#ccbb44", "#66ccee", "#aa3377"), strict=False)
        )
        left, right = axes[k // COLUMNS, 2 * (k % COLUMNS) :][:2]
        draw(left, conventional(guess), colours, f"{row['formula']} predicted,\n{said} sure, {verdict}")
        draw(right, conventional(truth), colours, f"{id}\n{truth.space_group}")
    figure.tight_layout(pad=0.4)
    figure.savefig(HERE / "predictions.png", dpi=130)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
