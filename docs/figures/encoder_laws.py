"""Draws docs/figures/encoder_laws.png: equivalent descriptions of one crystal, and the tokens the encoder gives each.

python docs/figures/encoder_laws.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from scipy.spatial.transform import Rotation

from crystalfw.core import Crystal, CrystalBatch
from crystalfw.core.recipe.options import create

COLOURS = {38: "#3b9b57", 22: "#4a7bd0", 8: "#d64b3a"}
NAMES = {38: "Sr", 22: "Ti", 8: "O"}


def descriptions() -> dict[str, Crystal]:
    """Distorted SrTiO3, and the same crystal told in other ways."""
    positions = np.array([[0, 0, 0], [0.5, 0.5, 0.56], [0.5, 0.5, 0.03], [0.5, 0, 0.47], [0, 0.5, 0.47]])
    numbers = np.array([38, 22, 8, 8, 8])
    lattice = np.diag([3.9, 3.9, 4.15])
    turn = Rotation.from_euler("zyx", [25, 40, 15], degrees=True).as_matrix()
    basis = np.array([[1, 1, 0], [0, 1, 0], [0, 1, 1]])
    shift = np.array([0.3, 0.1, 0.2])
    order = np.array([3, 1, 4, 0, 2])
    doubled = np.concatenate([positions, positions + np.array([1, 0, 0])]) / [2, 1, 1]
    return {
        "as given": Crystal(lattice=lattice, frac_coords=positions, numbers=numbers),
        "rotated, shifted": Crystal(lattice=lattice @ turn.T, frac_coords=positions + shift, numbers=numbers),
        "another basis": Crystal(lattice=basis @ lattice, frac_coords=positions @ np.linalg.inv(basis), numbers=numbers),
        "atoms reordered": Crystal(lattice=lattice, frac_coords=positions[order], numbers=numbers[order]),
        "supercell": Crystal(lattice=lattice * [[2], [1], [1]], frac_coords=doubled, numbers=np.tile(numbers, 2)),
    }


def draw_crystal(axes: Axes, crystal: Crystal, title: str) -> None:
    """Cell and atoms, seen along a slanted line of sight."""
    view = Rotation.from_euler("xy", [-75, -12], degrees=True).as_matrix()[:2].T
    corners = np.array(list(np.ndindex(2, 2, 2)))
    for first in corners:
        for second in corners[(corners - first).sum(1) == 1]:
            if np.abs(second - first).sum() == 1:
                line = np.array([first, second]) @ crystal.lattice @ view
                axes.plot(*line.T, color="0.6", linewidth=0.8)
    wrapped = crystal.frac_coords - np.floor(crystal.frac_coords)
    points = wrapped @ crystal.lattice @ view
    for index, (number, point) in enumerate(zip(crystal.numbers.tolist(), points, strict=True)):
        axes.scatter(
            *point,
            s=190 if number != 8 else 110,
            color=COLOURS[number],
            edgecolors="k",
            linewidths=0.6,
            zorder=3,
            clip_on=False,
        )
        axes.annotate(str(index), point, color="w", fontsize=6.5, ha="center", va="center", zorder=4)
    axes.set_title(title, fontsize=9)
    axes.set_aspect("equal")
    axes.axis("off")


def main() -> None:
    """Encode, draw, save."""
    torch.manual_seed(0)
    encoder = create("encoder", "equivariant", {"dim": 24}).double().eval()
    told = descriptions()
    figure, rows = plt.subplots(2, len(told), figsize=(11, 4.3), height_ratios=[1.25, 1], layout="constrained")
    with torch.no_grad():
        memories = {name: encoder(CrystalBatch.from_crystals([crystal], torch.float64)) for name, crystal in told.items()}
    reference = memories["as given"]
    largest = float(reference.tokens.abs().max())
    image = None
    for column, (name, crystal) in enumerate(told.items()):
        draw_crystal(rows[0, column], crystal, name)
        axes, memory = rows[1, column], memories[name]
        image = axes.imshow(memory.tokens[0], cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto", interpolation="none")
        labels = [f"{index} {NAMES[number]}" for index, number in enumerate(crystal.numbers.tolist())]
        axes.set_yticks(range(len(labels)), labels, fontsize=6.5)
        axes.set_xticks([])
        difference = float((memory.pooled - reference.pooled).abs().max())
        axes.set_xlabel("pooled: the reference" if column == 0 else f"pooled differs by {difference:.0e}", fontsize=8)
    rows[1, 0].set_ylabel("tokens", fontsize=8)
    figure.colorbar(image, ax=rows[1], shrink=0.9)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    main()
