"""Crystals as training examples of the length net: their edges, computed once, and possible strings of them.

Shapes: N atoms, E edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.plugins.representations.slices.decoding.bond_table import Bonds
from crystalfw.plugins.representations.slices.encoding import bonded
from crystalfw.plugins.representations.slices.graph.graph import NO_LENGTH, QuotientGraph
from crystalfw.plugins.representations.slices.lengths.rigidity import stiffened, stiffening
from crystalfw.plugins.representations.slices.text.dialects import N_STEPS, nearest_step

BOND, COMPLETION, CONTACT = range(3)
FOLDS = 5


@dataclass(frozen=True)
class Example:
    """One crystal with every edge that a string of it may hold."""

    numbers: NDArray[np.int64]
    lattice: NDArray[np.float64]
    """(3, 3) angstrom, in the basis of the shifts."""
    frac: NDArray[np.float64]
    """(N, 3)"""
    i: NDArray[np.int64]
    j: NDArray[np.int64]
    shifts: NDArray[np.int64]
    length: NDArray[np.float64]
    """(E,) true lengths, angstrom."""
    kind: NDArray[np.int8]
    """(E,) BOND, COMPLETION or CONTACT."""
    need: NDArray[np.float64]
    """(E,) for a CONTACT the share of missing rigidity that the contacts before it have already given; else -1."""
    fold: int
    """Fold of the bond table's cross-fitting: equal for crystals of one composition."""

    @classmethod
    def from_crystal(cls, crystal: Crystal) -> Example:
        """With its bonds and all contacts that it needs; raises EncodeError if it has no graph."""
        net = bonded(crystal)
        need = stiffening(net)
        full = stiffened(net, need.groups)
        graph, own = full.graph, net.graph.n_edges
        kind = np.where(graph.contact, COMPLETION, BOND).astype(np.int8)
        kind[own:] = CONTACT
        gains = np.array([group.gain for group in need.groups], dtype=np.float64)
        before = (np.cumsum(gains) - gains) / max(1.0, gains.sum())
        sizes = [len(group.edges) for group in need.groups]
        return cls(
            numbers=graph.numbers,
            lattice=full.lattice,
            frac=full.frac_coords,
            i=graph.i,
            j=graph.j,
            shifts=graph.shifts,
            length=full.distances,
            kind=kind,
            need=np.concatenate([np.full(own, -1.0), np.repeat(before, sizes)]),
            fold=composition_fold(graph.numbers),
        )


def composition_fold(numbers: NDArray[np.int64]) -> int:
    """Fold of a reduced composition, the same on every machine."""
    elements, counts = np.unique(numbers, return_counts=True)
    reduced = counts // np.gcd.reduce(counts)
    return int((elements * reduced * 7919).sum() + reduced.sum()) % FOLDS


def observed_bonds(examples: Sequence[Example]) -> Bonds:
    """All bonds of the examples, with the coordination numbers of their atoms: what the bond table is fitted to."""
    columns: list[list[NDArray[np.float64]]] = [[] for _ in range(5)]
    for example in examples:
        bond = example.kind == BOND
        i, j = example.i[bond], example.j[bond]
        ends = np.bincount(np.concatenate([i, j]), minlength=len(example.numbers))
        found = (example.numbers[i], example.numbers[j], ends[i], ends[j], example.length[bond])
        for column, values in zip(columns, found, strict=True):
            column.append(values)
    z_i, z_j, c_i, c_j, length = (np.concatenate(column) for column in columns)
    return Bonds(z_i.astype(np.int64), z_j.astype(np.int64), c_i.astype(np.int64), c_j.astype(np.int64), length)


@dataclass(frozen=True)
class Style:
    """How a training string is written."""

    dialect: str
    share: float
    """Share of the missing rigidity that contacts give."""
    error: float = 0.0
    """Standard deviation, in steps, of the error put on length tokens."""
    wrong: float = 0.0
    """Share of the length tokens that are in error."""


def random_style(rng: np.random.Generator) -> Style:
    """A random style of real strings: plain, rigid, metric, the latter two sometimes with contradictory lengths."""
    dialect = str(rng.choice(["plain", "rigid", "metric"], p=[0.35, 0.45, 0.2]))
    share = float(rng.choice([0.0, 0.5, 1.0], p=[0.3, 0.2, 0.5]))
    if dialect == "plain":
        return Style("plain", 0.0)
    # too many wrong lengths in training, and the net stops trusting the right ones
    if rng.random() < (0.7 if dialect == "metric" else 0.88):
        return Style(dialect, share)
    largest = 12.0 if dialect == "metric" else 6.0
    return Style(dialect, share, error=largest * float(rng.random()), wrong=float(rng.random()))


def written(example: Example, style: Style, rng: np.random.Generator) -> QuotientGraph:
    """The graph of a string in this style."""
    kept = example.need < style.share
    kind, length = example.kind[kept], example.length[kept]
    shifts, i, j, numbers = example.shifts[kept], example.i[kept], example.j[kept], example.numbers
    if style.dialect == "plain":
        return QuotientGraph(numbers, i, j, shifts)
    coarse = style.dialect == "rigid"
    step = nearest_step(length, coarse=coarse).astype(np.int64)
    if style.error > 0:
        stride = 6 if coarse else 1
        error = np.rint(rng.normal(size=len(step)) * style.error / stride).astype(np.int64) * stride
        top = (N_STEPS - 1) // stride * stride
        step = np.clip(step + error * (rng.random(len(step)) < style.wrong), 0, top)
    if coarse:
        step = np.where(kind == BOND, NO_LENGTH, step)
    return QuotientGraph(numbers, i, j, shifts, kind != BOND, step.astype(np.int16))
