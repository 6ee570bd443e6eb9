"""Draw the figures of the concept pages from crystalfw itself: `python docs/figures/draw.py`."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

import crystalfw
from crystalfw.core import Crystal, CrystalBatch
from crystalfw.core.testing import crystals as ops

HERE = Path(__file__).parent
INK, BLUE, RED, GREY = "#0f172a", "#0284c7", "#dc2626", "#94a3b8"
plt.rcParams.update({"svg.hashsalt": "crystalfw", "font.size": 11, "axes.spines.top": False, "axes.spines.right": False})


def save(name: str) -> None:
    """Write the current figure, the same bytes every time."""
    plt.savefig(HERE / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
    plt.close()


def invariance() -> None:
    """Relative change of an encoder's memory under operations, log scale."""
    torch.manual_seed(0)
    encoder = crystalfw.create("encoder", "equivariant", dim=64, multiplicities=[16, 8, 4], layers=2).double().eval()
    crystals = ops.small_crystals()
    stretch = np.diag([1.01, 1.0, 1.0])
    operations = {
        "rotation": lambda c: ops.rotated(c, ops.rotation(1)),
        "reflection": lambda c: ops.rotated(c, ops.rotation(2, improper=True)),
        "translation": lambda c: ops.translated(c, np.array([0.31, -0.17, 0.48])),
        "another image": ops.rewrapped,
        "order of atoms": ops.permuted,
        "another basis": ops.rebased,
        "supercell": ops.doubled,
        "1 % strain": lambda c: ops.rotated(c, stretch),
    }

    def pooled(found: list[Crystal]) -> torch.Tensor:
        batch = CrystalBatch.from_crystals(found, dtype=torch.float64).with_edges(encoder.cutoff)
        with torch.no_grad():
            return encoder(batch).pooled

    before = pooled(crystals)
    changes = [float((pooled([f(c) for c in crystals]) - before).abs().max() / before.abs().max()) for f in operations.values()]
    _, axes = plt.subplots(figsize=(7, 3))
    axes.barh(list(operations), np.maximum(changes, 1e-17), left=1e-17, color=[BLUE] * 7 + [RED], log=True)
    axes.invert_yaxis()
    axes.set_xlabel("largest relative change of the pooled vector, float64")
    axes.set_xlim(1e-17, 1)
    save("invariance")


def neighbours() -> None:
    """A two-dimensional cut: one atom per cell, all images within the cutoff; the nearest-image rule sees none."""
    lattice = np.array([[2.55, 0.0], [1.275, 2.208]])
    cutoff = 4.6
    _, axes = plt.subplots(figsize=(5, 4.4))
    for i in range(-3, 4):
        for j in range(-3, 4):
            x, y = np.array([i, j]) @ lattice
            distance = np.hypot(x, y)
            if distance < 1e-9:
                continue
            inside = distance <= cutoff
            if distance < 5.5:
                axes.plot(x, y, "o", ms=13, color=BLUE if inside else GREY, alpha=1 if inside else 0.45)
            if inside:
                axes.annotate("", (x * 0.93, y * 0.93), (0, 0), arrowprops={"arrowstyle": "->", "color": INK, "lw": 0.8})
    axes.plot(0, 0, "o", ms=15, color=RED)
    axes.add_patch(plt.Circle((0, 0), cutoff, fill=False, ls="--", color=INK))
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) @ lattice
    axes.plot(*corners.T, color=RED, lw=1.6)
    axes.text(0, -6.2, "dashed: cutoff; red: the cell and its only atom", ha="center", color=INK, fontsize=9)
    axes.set_aspect("equal")
    axes.axis("off")
    save("neighbours")


def box(axes: Axes, x: float, y: float, width: float, text: str, color: str) -> None:
    """A labelled box, its lower left corner at (x, y)."""
    axes.add_patch(plt.Rectangle((x, y), width, 0.7, fc=color, ec=INK, lw=1))
    axes.text(x + width / 2, y + 0.35, text, ha="center", va="center", color=INK, fontsize=10)


def ports() -> None:
    """A decoder block by block with the places where conditioning enters."""
    _, axes = plt.subplots(figsize=(7.2, 4.2))
    light, part = "#f1f5f9", "#e0f2fe"
    box(axes, 0, 0, 3, "embedded tokens", light)
    for y, text in ((1.4, "self-attention"), (3.8, "MLP")):
        box(axes, 0, y, 3, text, light)
    box(axes, 0, 5.0, 3, "next block ... logits", light)
    box(axes, 0, 2.6, 3, "+ residual of the port", part)
    for y0, y1 in ((0.7, 1.4), (2.1, 2.6), (3.3, 3.8), (4.5, 5.0)):
        axes.annotate("", (1.5, y1), (1.5, y0), arrowprops={"arrowstyle": "->", "color": INK})
    for y, text in ((0.0, "input: additive"), (1.4, "prefix: tokens in front"), (2.6, "layer: cross_attention")):
        box(axes, 4.6, y, 3.2, text, part)
        axes.annotate("", (3.0, y + 0.35), (4.6, y + 0.35), arrowprops={"arrowstyle": "->", "color": BLUE, "lw": 1.6})
    axes.text(6.2, 3.9, "each strategy reads the memory:\none token per atom, a pooled vector", ha="center", color=INK)
    axes.set_xlim(-0.2, 8)
    axes.set_ylim(-0.2, 5.9)
    axes.axis("off")
    save("ports")


def string() -> None:
    """Rock salt: cell, quotient graph in words, string."""
    salt = ops.small_crystals()[0]
    text = crystalfw.create("representation", "slices").encode([salt])[0].string
    bonds = [
        token for token in text.split() if any(sign in token for sign in "+-o") and len(token) == 3 and not token[0].isupper()
    ]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), width_ratios=[1, 1.5])
    for i in range(3):
        for j in range(3):
            kind = (i + j) % 2
            left.plot(i, j, "o", ms=24 if kind else 15, color=GREY if kind else BLUE, clip_on=False)
            for di, dj in ((1, 0), (0, 1)):
                if i + di < 3 and j + dj < 3:
                    left.plot([i, i + di], [j, j + dj], color=INK, lw=0.8, zorder=0)
    left.set_aspect("equal")
    left.axis("off")
    left.set_title("NaCl, one layer", color=INK, fontsize=11)
    right.plot([0, 3], [0, 0], "o", ms=24, color=BLUE)
    right.plot([3], [0], "o", ms=30, color=GREY)
    for k, bond in enumerate(bonds):
        height = 0.42 * (k - (len(bonds) - 1) / 2)
        x = np.linspace(0, 3, 40)
        right.plot(x, height * 4 * x * (3 - x) / 9, color=INK, lw=0.8, zorder=0)
        right.text(1.5, height, bond, ha="center", va="center", family="monospace", fontsize=9, backgroundcolor="white")
    right.set_title(f"quotient graph: 2 atoms, {len(bonds)} bonds with cell labels", color=INK, fontsize=11)
    right.set_xlim(-0.5, 3.5)
    right.axis("off")
    words = text.split()
    lines = [" ".join(words[i : i + 28]) for i in range(0, len(words), 28)]
    figure.text(0.5, -0.02, "\n".join(lines), ha="center", va="top", family="monospace", fontsize=9, color=INK)
    save("string")


if __name__ == "__main__":
    invariance()
    neighbours()
    ports()
    string()
