"""Orders atoms within a frame, also those that share colour and position: individualise, refine, take the least order.

Collisions occur in the realisations of about one crystal in a hundred: a molecule that hangs on one contact shrinks to a
point. Cells of equal atoms are split by their neighbours; if that is not enough, every member is tried in turn
(McKay, Congr. Numer. 30 (1981) 45), and of all complete orders the one with the least edge list is taken. Twins, whose
neighbours are identical, and members that a symmetry of the graph exchanges need one trial.

Shapes: N atoms, E edges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.system.compiled import njit

IntArray = NDArray[np.int64]

MAX_REFINEMENTS = 5000
"""Bound on the work for one frame; beyond it, if ties are not symmetries, the form may depend on the net's description."""
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
def best_order(
    packed: IntArray, edges: IntArray, labels: IntArray, kinds: IntArray, seen: IntArray
) -> tuple[IntArray, IntArray]:
    """Order (N,) of the atoms by their packed keys, ties broken so that the sorted edge keys (E,), also returned, are least.

    `seen` is the memory of one canonicalisation: seen[0] hashes of first orders follow, then nothing. A frame whose first
    order gives known edges is the image of an earlier frame under a symmetry of the graph; it returns empty arrays.
    """
    cells = _dense(packed)
    if len(_first_tie(cells)) == 0:
        order = np.argsort(cells, kind="mergesort")
        return order, np.sort(edge_keys(order, edges, labels, kinds)[0])
    root = _refine(cells, edges, labels, kinds)
    twins = _fingerprints(np.arange(len(packed)), edges, labels, kinds)
    order, keys, spent = _first_leaf(root, twins, edges, labels, kinds)
    if not _is_new(_hash(keys), seen):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    if len(_first_tie(root)) == 0:  # refinement alone has distinguished all atoms
        return order, keys
    stack = [root]
    while len(stack) > 0 and spent < MAX_REFINEMENTS:
        cells = stack.pop()
        tied = _first_tie(cells)
        siblings = np.zeros(len(tied) + 1, dtype=np.int64)
        for atom in tied[:1] if _alike(tied, twins) else tied:
            child = _refine(_split(cells, atom), edges, labels, kinds)
            child_order, child_keys, cost = _first_leaf(child, twins, edges, labels, kinds)
            spent += 1 + cost
            if not _is_new(_hash(child_keys), siblings):
                continue  # a symmetry of the graph takes an earlier sibling to this one
            if _precedes(child_keys, keys):
                order, keys = child_order, child_keys
            if len(_first_tie(child)) > 0:
                stack.append(child)
    return order, keys


@njit(cache=True)
def _first_leaf(
    cells: IntArray, twins: IntArray, edges: IntArray, labels: IntArray, kinds: IntArray
) -> tuple[IntArray, IntArray, int]:
    """A complete order, always splitting off the first member of the first tie; its sorted edge keys and its cost."""
    cost = 0
    tied = _first_tie(cells)
    while len(tied) > 0:
        if _alike(tied, twins):  # any order of twins gives the same edges
            cells = cells.copy()
            for k in range(len(tied)):
                cells[tied[k]] += k
        else:
            cells = _refine(_split(cells, tied[0]), edges, labels, kinds)
            cost += 1
        tied = _first_tie(cells)
    order = np.argsort(cells, kind="mergesort")
    return order, np.sort(edge_keys(order, edges, labels, kinds)[0]), cost


@njit(cache=True)
def _alike(tied: IntArray, twins: IntArray) -> bool:
    return bool((twins[tied] == twins[tied[0]]).all())


@njit(cache=True)
def _split(cells: IntArray, atom: int) -> IntArray:
    """The cells with one atom in front of the others of its cell."""
    split = 2 * cells
    split[atom] -= 1
    return _dense(split)


@njit(cache=True)
def _hash(keys: IntArray) -> int:
    value = 0
    for key in keys:
        value = mix(value ^ mix(key))
    return value


@njit(cache=True)
def _is_new(value: int, seen: IntArray) -> bool:
    """Whether the value is not among seen[1 : 1 + seen[0]]; it is then added."""
    for k in range(1, seen[0] + 1):
        if seen[k] == value:
            return False
    seen[0] += 1
    seen[seen[0]] = value
    return True


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
    """The atoms of the first cell with several members; empty if every cell has one atom."""
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
    """Split cells by their members' neighbourhoods until no cell splits; the order of the cells is kept."""
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
