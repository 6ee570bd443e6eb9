"""Order atoms within a frame, also where several share colour and position: individualise and refine, take the least.

Collisions occur in the realisations of about one crystal in a hundred. Cells of equal atoms are split by what they are
bonded to; where that does not help, every member is tried in turn (twins, whose neighbours are the very same, need one
trial), and of all complete orders the one with the least edge list is taken.

Shapes: N atoms, E edges.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

MOST_ORDERS = 512
"""Complete orders compared for one frame; beyond it the form of a highly degenerate net may depend on its description."""
_SPAN, _HALF = 128, 64  # labels are within +-63 in any reduced frame
_KINDS = 1024
_GOLDEN, _FIRST, _SECOND = -7046029254386353131, -4658895280553007687, -7723592293110705685


@njit(cache=True)
def mix(x: int) -> int:
    """A 64-bit integer scrambled (splitmix64, Steele et al., OOPSLA 2014), the same on every machine."""
    x = x + _GOLDEN  # compiled arithmetic wraps around
    x = (x ^ (x >> 30)) * _FIRST
    x = (x ^ (x >> 27)) * _SECOND
    return x ^ (x >> 31)


@njit(cache=True)
def edge_keys(order: IntArray, edges: IntArray, labels: IntArray, kinds: IntArray) -> tuple[IntArray, IntArray]:
    """Sortable keys (E,) and the edges (E, 5) in normal direction after the atoms are put into `order`."""
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    keys = np.empty(len(edges), dtype=np.int64)
    oriented = np.empty((len(edges), 5), dtype=np.int64)
    for e in range(len(edges)):
        i, j = rank[edges[e, 0]], rank[edges[e, 1]]
        a, b, c = labels[e, 0], labels[e, 1], labels[e, 2]
        leading = a if a != 0 else (b if b != 0 else c)
        if i > j or (i == j and leading < 0):
            i, j, a, b, c = j, i, -a, -b, -c
        oriented[e, 0], oriented[e, 1], oriented[e, 2], oriented[e, 3], oriented[e, 4] = i, j, a, b, c
        key = i * 256 + j
        for label in (a, b, c):
            key = key * _SPAN + label + _HALF
        keys[e] = key * _KINDS + kinds[e]
    return keys, oriented


@njit(cache=True)
def best_order(packed: IntArray, edges: IntArray, labels: IntArray, kinds: IntArray) -> IntArray:
    """Order (N,) of the atoms by their packed keys, ties broken so that the edge list becomes least."""
    cells = _dense(packed)
    if len(_first_tie(cells)) == 0:
        return np.argsort(cells, kind="mergesort")
    twins = _fingerprints(np.arange(len(packed)), edges, labels, kinds)
    stack = [_refine(cells, edges, labels, kinds)]
    best = np.empty(0, dtype=np.int64)
    best_keys = np.empty(0, dtype=np.int64)
    leaves = 0
    while len(stack) > 0 and leaves < MOST_ORDERS:
        cells = stack.pop()
        tied = _first_tie(cells)
        if len(tied) == 0:
            leaves += 1
            order = np.argsort(cells, kind="mergesort")
            keys = np.sort(edge_keys(order, edges, labels, kinds)[0])
            if len(best) == 0 or _precedes(keys, best_keys):
                best, best_keys = order, keys
            continue
        alike = True
        for atom in tied:
            alike = alike and twins[atom] == twins[tied[0]]
        for atom in tied[:1] if alike else tied:
            split = 2 * cells
            split[atom] -= 1
            stack.append(_refine(_dense(split), edges, labels, kinds))
    return best


@njit(cache=True)
def _precedes(x: IntArray, y: IntArray) -> bool:
    for k in range(len(x)):
        if x[k] != y[k]:
            return x[k] < y[k]
    return False


@njit(cache=True)
def _dense(values: IntArray) -> IntArray:
    """Rank of each value, counting the atoms below: equal values share a rank."""
    order = np.argsort(values, kind="mergesort")
    ranks = np.zeros(len(values), dtype=np.int64)
    for k in range(1, len(values)):
        ranks[order[k]] = ranks[order[k - 1]] if values[order[k]] == values[order[k - 1]] else k
    return ranks


@njit(cache=True)
def _first_tie(cells: IntArray) -> IntArray:
    """The atoms of the first cell with several members; empty where every atom stands alone."""
    counts = np.bincount(cells)
    for cell in range(len(counts)):
        if counts[cell] > 1:
            return np.nonzero(cells == cell)[0]
    return np.empty(0, dtype=np.int64)


@njit(cache=True)
def _fingerprints(cells: IntArray, edges: IntArray, labels: IntArray, kinds: IntArray) -> IntArray:
    """(N,) a hash of each atom's edges: label as seen from the atom, kind, and the neighbour's cell."""
    found = np.zeros(len(cells), dtype=np.int64)
    for e in range(len(edges)):
        i, j = edges[e, 0], edges[e, 1]
        out = back = kinds[e]
        for a in range(3):
            out = out * _SPAN + labels[e, a] + _HALF
            back = back * _SPAN - labels[e, a] + _HALF
        found[i] += mix(mix(out) + cells[j])
        found[j] += mix(mix(back) + cells[i])
    return found


@njit(cache=True)
def _refine(cells: IntArray, edges: IntArray, labels: IntArray, kinds: IntArray) -> IntArray:
    """Split cells by their members' neighbourhoods until nothing splits; the order of the cells is kept."""
    while True:
        hashes = _fingerprints(cells, edges, labels, kinds)
        order = np.argsort(hashes, kind="mergesort")
        order = order[np.argsort(cells[order], kind="mergesort")]
        finer = np.zeros(len(cells), dtype=np.int64)
        for k in range(1, len(order)):
            now, before = order[k], order[k - 1]
            same = cells[now] == cells[before] and hashes[now] == hashes[before]
            finer[now] = finer[before] if same else k
        if np.array_equal(finer, cells):
            return cells
        cells = finer
