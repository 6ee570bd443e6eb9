"""The canonical form of a labelled quotient graph: one string for all descriptions of the same topology.

Two graphs that differ by the order of atoms, the choice of basis, cell images, rotation or reflection give the same
form. The standard realisation supplies a finite set of candidate frames (equal bases x origins on the rarest kind of
atom); in each, atoms are ordered by element, colour (iterated neighbourhoods, Weisfeiler & Leman, NTI 2 (1968) 12) and
wrapped position; the lexicographically least atom list, then edge list, wins. `ties` orders atoms that coincide in the
realisation.

Shapes: N atoms, E edges, B bases, F frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.geometry.compiled_reduction import inverse
from crystalfw.core.system.compiled import njit
from crystalfw.plugins.representations.slices.canonical.barycentre import realise
from crystalfw.plugins.representations.slices.canonical.bases import equal_bases
from crystalfw.plugins.representations.slices.canonical.ties import best_order, edge_keys, mix

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_WRAP = 1e-6  # a coordinate this close below 1 is 0
_GRID = 60000 * np.pi  # resolution of positions; irrational, so that no rational coordinate sits on a rounding edge
_BITS = 18  # 2^18 > _GRID


@njit(cache=True)
def canonical_edges(numbers: IntArray, edges: IntArray, kinds: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Order of the atoms (N,), edges (E, 5) in canonical labels, and the order (E,) of the edges they came from.

    `edges` rows are i, j, shift; `kinds` (E,), small and not negative, tells apart edges that carry different tokens.
    The net must be three-dimensional.
    """
    n_atoms = len(numbers)
    frac_coords, metric, squares = realise(n_atoms, edges)
    colours = _colours(numbers, edges, _ranks(squares, 1e-7), kinds)
    starts = _rarest(colours)
    bases = equal_bases(metric)
    packed, cells, turned = _frames(frac_coords, colours, starts, bases, edges)
    best_atoms = np.empty(0, dtype=np.int64)
    best_keys = np.empty(0, dtype=np.int64)
    best_frame = -1
    frames = _least_rows(packed)
    seen = np.zeros(len(frames) + 1, dtype=np.int64)
    for f in frames:
        labels = _labels(edges, turned[f // len(starts)], cells[f])
        order, keys = best_order(packed[f], edges, labels, kinds, seen)
        if len(order) > 0 and (best_frame < 0 or _less(keys, best_keys)):
            best_atoms, best_keys, best_frame = order, keys, f
    labels = _labels(edges, turned[best_frame // len(starts)], cells[best_frame])
    keys, oriented = edge_keys(best_atoms, edges, labels, kinds)
    edge_order = np.argsort(keys, kind="mergesort")
    return best_atoms, oriented[edge_order], edge_order


@njit(cache=True)
def _labels(edges: IntArray, turned: IntArray, cells: IntArray) -> IntArray:
    """(E, 3) shifts between the atoms wrapped into the frame's cell."""
    labels = turned.copy()
    for e in range(len(edges)):
        for a in range(3):
            labels[e, a] += cells[edges[e, 1], a] - cells[edges[e, 0], a]
    return labels


@njit(cache=True)
def _ranks(values: FloatArray, gap: float) -> IntArray:
    """Rank of each value among the distinct ones, values closer than `gap` counted as equal."""
    order = np.argsort(values, kind="mergesort")
    ranks = np.zeros(len(values), dtype=np.int64)
    for k in range(1, len(values)):
        ranks[order[k]] = ranks[order[k - 1]] + (values[order[k]] > values[order[k - 1]] + gap)
    return ranks


@njit(cache=True)
def _colours(numbers: IntArray, edges: IntArray, lengths: IntArray, kinds: IntArray) -> IntArray:
    """(N,) rank of each atom's colour: by element first, then by neighbourhood, refined until no class splits."""
    n_atoms = len(numbers)
    colours = numbers.copy()
    n_colours = 0
    for _ in range(n_atoms + 1):
        hashes = np.zeros(n_atoms, dtype=np.int64)
        for e in range(len(edges)):
            i, j = edges[e, 0], edges[e, 1]
            tag = mix(mix(lengths[e]) + kinds[e])
            hashes[i] += mix(tag + colours[j])
            hashes[j] += mix(tag + colours[i])
        for a in range(n_atoms):
            hashes[a] = mix(mix(hashes[a]) + colours[a])
        # the element leads, so that ranks group the atoms as a chemist would
        order = np.argsort(hashes, kind="mergesort")
        order = order[np.argsort(numbers[order], kind="mergesort")]
        ranks = np.zeros(n_atoms, dtype=np.int64)
        for k in range(1, n_atoms):
            now, before = order[k], order[k - 1]
            ranks[now] = ranks[before] + (numbers[now] != numbers[before] or hashes[now] != hashes[before])
        colours = ranks
        if colours.max() + 1 == n_colours:
            break
        n_colours = colours.max() + 1
    return colours


@njit(cache=True)
def _rarest(colours: IntArray) -> IntArray:
    """The atoms of the least frequent colour, of several the first."""
    counts = np.bincount(colours)
    return np.nonzero(colours == np.argmin(counts))[0]


@njit(cache=True)
def _frames(
    frac_coords: FloatArray, colours: IntArray, starts: IntArray, bases: IntArray, edges: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """For every frame f = basis * len(starts) + start: sortable atom keys (F, N) and cells (F, N, 3); for every basis
    the edges' shifts (B, E, 3)."""
    n_atoms, n_starts = len(frac_coords), len(starts)
    packed = np.empty((len(bases) * n_starts, n_atoms), dtype=np.int64)
    cells = np.empty((len(bases) * n_starts, n_atoms, 3), dtype=np.int64)
    turned = np.zeros((len(bases), len(edges), 3), dtype=np.int64)
    for b in range(len(bases)):
        turn = np.rint(inverse(bases[b].astype(np.float64)))
        placed = np.zeros((n_atoms, 3))
        for a in range(3):
            for k in range(3):
                for e in range(len(edges)):
                    turned[b, e, a] += edges[e, 2 + k] * np.int64(turn[k, a])
                for n in range(n_atoms):
                    placed[n, a] += frac_coords[n, k] * turn[k, a]
        for s in range(n_starts):
            f = b * n_starts + s
            for n in range(n_atoms):
                key = colours[n]
                for a in range(3):
                    x = placed[n, a] - placed[starts[s], a]
                    cell = np.floor(x + _WRAP)
                    cells[f, n, a] = np.int64(cell)
                    key = (key << _BITS) + np.int64(np.rint(abs(x - cell) * _GRID))
                packed[f, n] = key
    return packed, cells, turned


@njit(cache=True)
def _least_rows(packed: IntArray) -> IntArray:
    """Indices of the rows that, sorted, are lexicographically least."""
    rows = np.empty_like(packed)
    for f in range(len(packed)):
        rows[f] = np.sort(packed[f])
    kept = np.empty(len(packed), dtype=np.int64)
    count = 0
    for f in range(len(packed)):
        if count and _less(rows[kept[0]], rows[f]):
            continue
        if count and _less(rows[f], rows[kept[0]]):
            count = 0
        kept[count] = f
        count += 1
    return kept[:count]


@njit(cache=True)
def _less(x: IntArray, y: IntArray) -> bool:
    for k in range(len(x)):
        if x[k] != y[k]:
            return x[k] < y[k]
    return False
