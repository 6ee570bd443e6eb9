"""Tests whether a bond graph is one net that is periodic in three dimensions. Union-find with lattice potentials.

Every atom carries its cell relative to the root of its component; an edge inside a component closes a cycle, whose
translation enters an integer echelon basis. The bonds fix the crystal's lattice if and only if there is one component and
the cycles' translations generate all of Z^3 (determinant 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.system.compiled import njit

IntArray = NDArray[np.int64]

NOTHING, MERGES, ENLARGES = 0, 1, 2
"""What an edge does to a net: nothing new, joins two components, enlarges the lattice of translations."""


@njit(cache=True)
def new_net(n_atoms: int) -> IntArray:
    """Atoms without edges: rows parent, cell (3) for each atom, then the echelon basis (3 rows, columns 1-3)."""
    net = np.zeros((n_atoms + 3, 4), dtype=np.int64)
    net[:n_atoms, 0] = np.arange(n_atoms)
    return net


@njit(cache=True)
def add_edge(net: IntArray, i: int, j: int, shift: IntArray) -> int:
    """Add an edge to the net, in place; returns NOTHING, MERGES or ENLARGES."""
    n_atoms = len(net) - 3
    root_i, i0, i1, i2 = _root(net, i)
    root_j, j0, j1, j2 = _root(net, j)
    cycle = np.array([j0 + shift[0] - i0, j1 + shift[1] - i1, j2 + shift[2] - i2])
    if root_i != root_j:
        net[root_j, 0] = root_i
        net[root_j, 1:] = -cycle
        return MERGES
    return ENLARGES if _insert(net[n_atoms:, 1:], cycle) else NOTHING


@njit(cache=True)
def _root(net: IntArray, atom: int) -> tuple[int, int, int, int]:
    """Root of the atom's component and the atom's cell relative to the root's."""
    a = b = c = 0
    while net[atom, 0] != atom:
        a, b, c = a + net[atom, 1], b + net[atom, 2], c + net[atom, 3]
        atom = net[atom, 0]
    return atom, a, b, c


@njit(cache=True)
def _insert(basis: IntArray, vector: IntArray) -> bool:
    """Add a vector to the echelon basis (row k begins at column k); True if the lattice grew."""
    grew = False
    for column in range(3):
        row = basis[column]
        if vector[column] == 0:
            continue
        if row[column] == 0:
            row[:] = vector
            return True
        if vector[column] % row[column] == 0:
            times = vector[column] // row[column]
            for k in range(3):
                vector[k] -= times * row[k]
            continue
        grew = True
        while vector[column] != 0:  # Euclid: the row keeps the greatest common divisor
            times = row[column] // vector[column]
            for k in range(3):
                row[k], vector[k] = vector[k], row[k] - times * vector[k]
    return grew


@njit(cache=True)
def n_components(net: IntArray) -> int:
    """Number of connected components."""
    count = 0
    for atom in range(len(net) - 3):
        count += net[atom, 0] == atom
    return count


@njit(cache=True)
def index(net: IntArray) -> int:
    """Index in Z^3 of the lattice that the cycles generate; 0 if its rank is below three."""
    n_atoms = len(net) - 3
    return abs(net[n_atoms, 1] * net[n_atoms + 1, 2] * net[n_atoms + 2, 3])


@njit(cache=True)
def is_three_dimensional(net: IntArray) -> bool:
    """True if the net is connected and its cycles generate Z^3."""
    return n_components(net) == 1 and index(net) == 1


@njit(cache=True)
def net_of(n_atoms: int, edges: IntArray) -> IntArray:
    """The net of edges (E, 5) with rows i, j, shift."""
    net = new_net(n_atoms)
    for e in range(len(edges)):
        add_edge(net, edges[e, 0], edges[e, 1], edges[e, 2:])
    return net
