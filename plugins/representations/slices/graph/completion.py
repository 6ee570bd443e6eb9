"""Contacts that make layers, chains and molecules one three-dimensional net.

If the bonds alone do not connect everything (7 % of MP-20), the shortest non-bonded pairs are added, a whole group of
equal length at a time, keeping of each group every pair that joins components or enlarges the cycle lattice: symmetry
is kept, and the result depends on neither the order of the atoms nor the choice of the cell.

Shapes: N atoms, E bonds, K contacts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.system.compiled import njit
from crystalfw.plugins.representations.slices.graph.bonds import half_pairs
from crystalfw.plugins.representations.slices.graph.cycles import NOTHING, add_edge, is_three_dimensional, net_of

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FARTHEST = 60.0
"""No contact is longer, in angstrom."""
_EQUAL = 1e-3  # relative and absolute (angstrom) width of a group of equal lengths


@njit(cache=True)
def completing_contacts(lattice: FloatArray, frac_coords: FloatArray, bonds: IntArray) -> tuple[IntArray, FloatArray, bool]:
    """Contacts (K, 5) and lengths (K,) that complete the net of `bonds` (E, 5); False if none do.

    `frac_coords` must be wrapped into [0, 1).
    """
    net = net_of(len(frac_coords), bonds)
    if is_three_dimensional(net):
        return np.empty((0, 5), dtype=np.int64), np.empty(0), True
    cutoff = 4.5
    while True:
        pairs, lengths = half_pairs(lattice, frac_coords, cutoff)
        order = np.argsort(lengths, kind="mergesort")
        chosen, complete = _complete(net.copy(), pairs, lengths, order)
        if complete or cutoff >= FARTHEST:
            return pairs[chosen], lengths[chosen], complete
        cutoff = min(FARTHEST, 1.35 * cutoff)


@njit(cache=True)
def _complete(net: IntArray, pairs: IntArray, lengths: FloatArray, order: IntArray) -> tuple[IntArray, bool]:
    """Indices of the pairs to add, going through groups of equal length; a bond itself never adds anything."""
    chosen = np.empty(len(order), dtype=np.int64)
    count = begin = 0
    while begin < len(order):
        limit = lengths[order[begin]] * (1 + _EQUAL) + _EQUAL
        end = begin
        first = count
        while end < len(order) and lengths[order[end]] <= limit:
            pair = order[end]
            if add_edge(net.copy(), pairs[pair, 0], pairs[pair, 1], pairs[pair, 2:]) != NOTHING:
                chosen[count] = pair
                count += 1
            end += 1
        for k in range(first, count):
            add_edge(net, pairs[chosen[k], 0], pairs[chosen[k], 1], pairs[chosen[k], 2:])
        if count > first and is_three_dimensional(net):
            return chosen[:count], True
        begin = end
    return chosen[:count], False
