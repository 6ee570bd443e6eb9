"""The labelled quotient graph: the content of a SLICES string in any dialect.

Shapes: N atoms, E edges (bonds and contacts).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
NO_LENGTH = -1
"""Step of an edge whose string gives no length."""


def _no_shifts() -> IntArray:
    return np.zeros((0, 3), dtype=np.int64)


@dataclass(frozen=True)
class QuotientGraph:
    """One crystal's bonds modulo lattice translations (Chung, Hahn & Klee, Acta Cryst. A40 (1984) 42).

    Edge e joins atom `i[e]` of the home cell with atom `j[e]` of the cell `shifts[e]`: the vector is
    (x_j + shift - x_i) @ lattice. Normal form: i <= j, and for i == j the first non-zero shift is positive;
    `normalised` brings any edges there. The order of the edges is the order in the string.
    """

    numbers: IntArray
    """(N,) atomic numbers."""
    i: IntArray
    """(E,) first atom of each edge."""
    j: IntArray
    """(E,) second atom."""
    shifts: IntArray = field(default_factory=_no_shifts)
    """(E, 3) cell of the second atom."""
    contact: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """(E,) True if the edge is a contact, not a bond; contacts connect or stiffen the graph."""
    length: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, dtype=np.int16))
    """(E,) step on the length scale (`dialects.angstrom`), NO_LENGTH where the string gives none."""
    space_group: int | None = None
    """1-230 if the string has a space-group prefix."""

    def __post_init__(self) -> None:
        n_edges = len(self.i)
        if len(self.contact) != n_edges:
            object.__setattr__(self, "contact", np.zeros(n_edges, dtype=bool))
        if len(self.length) != n_edges:
            object.__setattr__(self, "length", np.full(n_edges, NO_LENGTH, dtype=np.int16))
        assert len(self.j) == n_edges, "i and j differ in length"
        assert self.shifts.shape == (n_edges, 3), "shifts must be (E, 3)"

    @property
    def n_atoms(self) -> int:
        """Number of atoms N."""
        return len(self.numbers)

    @property
    def n_edges(self) -> int:
        """Number of edges E, contacts included."""
        return len(self.i)

    @classmethod
    def from_edges(
        cls,
        numbers: IntArray,
        i: IntArray,
        j: IntArray,
        shifts: IntArray,
        contact: NDArray[np.bool_] | None = None,
        length: NDArray[np.int16] | None = None,
        space_group: int | None = None,
    ) -> QuotientGraph:
        """From edges in any direction: in normal form and the given order; of repeated edges the first is kept."""
        n_edges = len(i)
        i, j, shifts = normalised(i, j, shifts)
        contact = np.zeros(n_edges, dtype=bool) if contact is None else contact
        length = np.full(n_edges, NO_LENGTH, dtype=np.int16) if length is None else length
        reach = 2 * int(np.abs(shifts).max(initial=0)) + 1
        codes = ((i * len(numbers) + j) * reach + shifts[:, 0]) * reach**2 + shifts[:, 1] * reach + shifts[:, 2]
        _, first = np.unique(codes, return_index=True)
        if len(first) == n_edges:
            return cls(numbers, i, j, shifts, contact, length, space_group)
        keep = np.sort(first)
        return cls(numbers, i[keep], j[keep], shifts[keep], contact[keep], length[keep], space_group)

    def take(self, edges: NDArray[np.int64] | NDArray[np.bool_]) -> QuotientGraph:
        """The same atoms with these edges, in this order."""
        return QuotientGraph(
            self.numbers,
            self.i[edges],
            self.j[edges],
            self.shifts[edges],
            self.contact[edges],
            self.length[edges],
            self.space_group,
        )


def normalised(i: IntArray, j: IntArray, shifts: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Every edge in its normal direction: i <= j, loops with their first non-zero shift positive."""
    leading = np.where(shifts[:, 0] != 0, shifts[:, 0], np.where(shifts[:, 1] != 0, shifts[:, 1], shifts[:, 2]))
    turn = (i > j) | ((i == j) & (leading < 0))
    return np.where(turn, j, i), np.where(turn, i, j), np.where(turn[:, None], -shifts, shifts)
