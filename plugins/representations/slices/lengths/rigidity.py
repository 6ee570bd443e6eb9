"""Finds the contacts that a graph needs so that its lengths fix the crystal, by the rank of the rigidity matrix.

Row of edge e: the derivative of its length by the strain (6 components) and by the displacements of the atoms (3 N).
A framework is infinitesimally rigid when the rank is 3 N + 3: all but the three translations (periodic frameworks with
flexible lattice: Borcea & Streinu, Proc. R. Soc. A 466 (2010) 2633). Half of MP-20 has a lower rank, so bonds alone do not
determine those crystals, whatever the decoder does; the shortest non-bonded pairs are added, a group of symmetry-equivalent
ones at a time, as long as the rank rises.

Shapes: N atoms, E edges, P candidate pairs, K contacts, D = 3 N + 6 degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.geometry.compiled_reduction import determinant
from crystalfw.core.system.compiled import njit
from crystalfw.plugins.representations.slices.encoding import BondedCrystal
from crystalfw.plugins.representations.slices.graph.bonds import half_pairs
from crystalfw.plugins.representations.slices.graph.graph import NO_LENGTH, QuotientGraph

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

REACH = 2.3
"""Contacts are sought up to this many median bond lengths (plus half an angstrom), then twice and four times as far."""
MAX_PER_ATOM, MAX_AT_LEAST = 5, 24
"""No further group is added beyond so many contacts per atom or so many in total, whichever is more."""
_EQUAL = 2e-3  # relative width of a group of equal lengths; 1e-3 angstrom besides
_INDEPENDENT = 1e-2  # a unit row with a smaller remainder adds no rank worth having


@dataclass(frozen=True)
class ContactGroup:
    """Symmetry-equivalent contacts: same elements, same length."""

    edges: IntArray
    """(K, 5) rows i, j, shift."""
    distances: FloatArray
    """(K,) angstrom."""
    gain: int
    """By how much the rank rises when the group joins those before it."""


@dataclass(frozen=True)
class Stiffening:
    """The rank of a crystal's own edges and the groups of contacts that raise it, shortest first."""

    rank: int
    full_rank: int
    """3 N + 3."""
    groups: tuple[ContactGroup, ...]

    @property
    def reached(self) -> int:
        """The rank with all groups."""
        return self.rank + sum(group.gain for group in self.groups)


def stiffening(crystal: BondedCrystal) -> Stiffening:
    """The contacts that a crystal's graph needs to be rigid; no groups if it is rigid already."""
    graph = crystal.graph
    full_rank = 3 * graph.n_atoms + 3
    own = np.column_stack([graph.i, graph.j, graph.shifts])
    reach = REACH * float(np.median(crystal.mean_distances[np.isfinite(crystal.mean_distances)])) + 0.5
    for cutoff in (reach, 2 * reach, 4 * reach):
        rank, kept, group_of, gains, distances = _stiffen(
            crystal.lattice, crystal.frac_coords, graph.numbers, own, full_rank, cutoff
        )
        if rank + gains.sum() >= full_rank:
            break
    groups = []
    for number, gain in enumerate(gains.tolist()):
        members = group_of == number
        groups.append(ContactGroup(kept[members], distances[members], gain))
    return Stiffening(rank, full_rank, tuple(groups))


def stiffened(crystal: BondedCrystal, groups: tuple[ContactGroup, ...]) -> BondedCrystal:
    """The crystal with the contacts of these groups added, flagged."""
    if not groups:
        return crystal
    graph = crystal.graph
    added = np.concatenate([group.edges for group in groups])
    wider = QuotientGraph(
        graph.numbers,
        np.concatenate([graph.i, added[:, 0]]),
        np.concatenate([graph.j, added[:, 1]]),
        np.concatenate([graph.shifts, added[:, 2:]]),
        np.concatenate([graph.contact, np.ones(len(added), dtype=bool)]),
        np.concatenate([graph.length, np.full(len(added), NO_LENGTH, dtype=np.int16)]),
        graph.space_group,
    )
    distances = np.concatenate([crystal.distances, *(group.distances for group in groups)])
    return replace(crystal, graph=wider, distances=distances)


@njit(cache=True)
def _stiffen(
    lattice: FloatArray, frac_coords: FloatArray, numbers: IntArray, own: IntArray, full_rank: int, cutoff: float
) -> tuple[int, IntArray, IntArray, IntArray, FloatArray]:
    """Rank of the own edges; contacts (K, 5), group of each (K,), gain of each group, lengths (K,)."""
    n_atoms = len(frac_coords)
    scale = (abs(determinant(lattice)) / n_atoms) ** (1 / 3)
    basis = np.zeros((full_rank, 3 * n_atoms + 6))
    rank = 0
    for e in range(len(own)):
        rank = _absorb(basis, rank, lattice, frac_coords, own[e], scale)
    own_rank = rank
    pairs, lengths = half_pairs(lattice, frac_coords, cutoff)
    pairs, lengths = _without(pairs, lengths, own)
    order = np.argsort(lengths, kind="mergesort")
    kept = np.empty((len(pairs), 5), dtype=np.int64)
    group_of = np.empty(len(pairs), dtype=np.int64)
    distances = np.empty(len(pairs))
    gains = np.zeros(len(pairs), dtype=np.int64)
    count = n_groups = begin = 0
    while begin < len(order) and rank < full_rank and count <= max(MAX_PER_ATOM * n_atoms, MAX_AT_LEAST):
        end = begin
        while end < len(order) and lengths[order[end]] < lengths[order[begin]] * (1 + _EQUAL) + 1e-3:
            end += 1
        taken = np.zeros(end - begin, dtype=np.bool_)
        for first in range(begin, end):
            if taken[first - begin]:
                continue
            elements = _elements(numbers, pairs[order[first]])
            raised, members = rank, count
            for k in range(first, end):  # the group: same length, same elements
                if _elements(numbers, pairs[order[k]]) == elements:
                    taken[k - begin] = True
                    kept[members] = pairs[order[k]]
                    distances[members] = lengths[order[k]]
                    group_of[members] = n_groups
                    raised = _absorb(basis, raised, lattice, frac_coords, pairs[order[k]], scale)
                    members += 1
            if raised > rank:
                gains[n_groups] = raised - rank
                n_groups += 1
                rank, count = raised, members
        begin = end
    return own_rank, kept[:count], group_of[:count], gains[:n_groups], distances[:count]


@njit(cache=True)
def _elements(numbers: IntArray, edge: IntArray) -> int:
    """One integer for the pair of elements."""
    x, y = numbers[edge[0]], numbers[edge[1]]
    return min(x, y) * 256 + max(x, y)


@njit(cache=True)
def _absorb(basis: FloatArray, rank: int, lattice: FloatArray, frac_coords: FloatArray, edge: IntArray, scale: float) -> int:
    """Add the edge's row to the orthonormal basis (Gram-Schmidt, twice for accuracy); returns the new rank."""
    if rank == len(basis):
        return rank
    size = basis.shape[1]
    row = np.zeros(size)
    _fill_row(row, lattice, frac_coords, edge, scale)
    for _ in range(2):
        for k in range(rank):
            overlap = 0.0
            for a in range(size):
                overlap += basis[k, a] * row[a]
            for a in range(size):
                row[a] -= overlap * basis[k, a]
    rest = 0.0
    for a in range(size):
        rest += row[a] * row[a]
    rest = np.sqrt(rest)
    if rest <= _INDEPENDENT:
        return rank
    for a in range(size):
        basis[rank, a] = row[a] / rest
    return rank + 1


@njit(cache=True)
def _fill_row(row: FloatArray, lattice: FloatArray, frac_coords: FloatArray, edge: IntArray, scale: float) -> None:
    """Unit row of the rigidity matrix; `scale` (angstrom) makes strain and displacement comparable."""
    vector = np.zeros(3)
    for a in range(3):
        step = frac_coords[edge[1], a] + edge[2 + a] - frac_coords[edge[0], a]
        for b in range(3):
            vector[b] += step * lattice[a, b]
    length = np.sqrt(vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2)
    for a in range(3):
        row[a] = vector[a] * vector[a] / (length * scale)
        row[3 + a] = 2 * vector[(a + 1) % 3] * vector[(a + 2) % 3] / (length * scale)
        row[6 + 3 * edge[0] + a] -= vector[a] / length
        row[6 + 3 * edge[1] + a] += vector[a] / length
    square = 0.0
    for x in row:
        square += x * x
    for a in range(len(row)):
        row[a] /= np.sqrt(square)


@njit(cache=True)
def _without(pairs: IntArray, lengths: FloatArray, own: IntArray) -> tuple[IntArray, FloatArray]:
    """The pairs that are not among the own edges."""
    codes = np.sort(_codes(own))
    wanted = _codes(pairs)
    keep = np.ones(len(pairs), dtype=np.bool_)
    for p in range(len(pairs)):
        place = np.searchsorted(codes, wanted[p])
        keep[p] = place == len(codes) or codes[place] != wanted[p]
    return pairs[keep], lengths[keep]


@njit(cache=True)
def _codes(edges: IntArray) -> IntArray:
    """One integer for each edge; shifts within +-31."""
    codes = np.empty(len(edges), dtype=np.int64)
    for e in range(len(edges)):
        code = edges[e, 0] * 256 + edges[e, 1]
        for a in range(3):
            code = code * 64 + edges[e, 2 + a] + 32
        codes[e] = code
    return codes
