"""Labels in {-1, 0, 1}: shift atoms by whole cells, and change the basis if that is not enough.

Along one axis the shifts s must satisfy -1 <= t_e + s_j - s_i <= 1 for every edge: difference constraints, solved
exactly by shortest paths (Bellman, Q. Appl. Math. 16 (1958) 87). Without a solution, some cycle is too long for its number
of edges; then other unimodular bases are tried. A label that cannot be expressed is an error, never clamped.

Shapes: N atoms, E edges, U bases.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.system.compiled import njit

IntArray = NDArray[np.int64]


@njit(cache=True)
def _axis_shifts(n_atoms: int, i: IntArray, j: IntArray, t: IntArray) -> tuple[IntArray, bool]:
    """Shifts (N,) along one axis, and whether they exist; zeros where the labels are small already."""
    shift = np.zeros(n_atoms, dtype=np.int64)
    for _ in range(n_atoms + 1):
        moved = False
        for e in range(len(i)):
            # t + s_j - s_i <= 1 pulls s_j down, t + s_j - s_i >= -1 pulls s_i down
            if shift[j[e]] > shift[i[e]] + 1 - t[e]:
                shift[j[e]] = shift[i[e]] + 1 - t[e]
                moved = True
            if shift[i[e]] > shift[j[e]] + 1 + t[e]:
                shift[i[e]] = shift[j[e]] + 1 + t[e]
                moved = True
        if not moved:
            return shift, True
    return shift, False


@njit(cache=True)
def gauge(n_atoms: int, i: IntArray, j: IntArray, shifts: IntArray) -> tuple[IntArray, bool]:
    """Labels (E, 3) of the same graph within {-1, 0, 1} in this basis, and whether there are any."""
    labels = shifts.copy()
    for axis in range(3):
        moves, found = _axis_shifts(n_atoms, i, j, shifts[:, axis])
        if not found:
            return shifts, False
        for e in range(len(i)):
            labels[e, axis] += moves[j[e]] - moves[i[e]]
    return labels, True


@cache
def small_bases() -> IntArray:
    """(U, 3, 3) inverses of the unimodular matrices with entries in {-1, 0, 1}, one of each class under signed
    permutations of the axes, which cannot change whether labels fit; simplest first, the identity at the front."""
    matrices = np.array(list(itertools.product((-1, 0, 1), repeat=9)), dtype=np.int64).reshape(-1, 3, 3)
    matrices = matrices[np.rint(np.linalg.det(matrices)) == 1]
    inverses = np.rint(np.linalg.inv(matrices)).astype(np.int64)
    seen: dict[tuple[tuple[int, ...], ...], IntArray] = {}
    size = np.abs(inverses).sum((1, 2)) + np.abs(matrices).sum((1, 2))
    for k in np.argsort(size, kind="stable"):
        # columns of the inverse are the new axes' dual vectors: their set, up to signs, is the class
        columns = [tuple(column.tolist()) for column in inverses[k].T]
        key = tuple(sorted(max(c, tuple(-x for x in c)) for c in columns))
        if key not in seen:
            seen[key] = np.array(sorted(key, reverse=True)).T
    found = list(seen.values())
    identity = next(k for k, m in enumerate(found) if np.array_equal(m, np.eye(3)))
    found.insert(0, found.pop(identity))
    return np.array(found, dtype=np.int64)


@njit(cache=True)
def _search(n_atoms: int, i: IntArray, j: IntArray, shifts: IntArray, bases: IntArray) -> tuple[IntArray, bool]:
    for k in range(len(bases)):
        turned = np.zeros_like(shifts)
        for e in range(len(shifts)):
            for a in range(3):
                for b in range(3):
                    turned[e, b] += shifts[e, a] * bases[k, a, b]
        labels, found = gauge(n_atoms, i, j, turned)
        if found:
            return labels, True
    return shifts, False


def fit_labels(n_atoms: int, i: IntArray, j: IntArray, shifts: IntArray) -> IntArray | None:
    """Labels (E, 3) in {-1, 0, 1} of an equivalent graph; None if no basis tried allows such labels."""
    if len(shifts) == 0 or np.abs(shifts).max() <= 1:
        return shifts
    labels, found = _search(n_atoms, i, j, shifts, small_bases())
    return labels if found else None
