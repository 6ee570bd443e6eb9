"""All bases of a lattice that are equally good: the orbit of the reduced basis under the lattice's symmetries.

The lengths of a Minkowski-reduced basis are the successive minima and belong to the lattice. Among all bases with these
lengths, those whose off-diagonal Gram entries are lexicographically greatest are equivalent under isometries.

Shapes: B bases.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.geometry.compiled_reduction import reduce_cell
from crystalfw.core.system.compiled import njit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_SAME = 1e-6  # Gram entries of a lattice with unit determinant that differ by less are equal


@njit(cache=True)
def equal_bases(metric: FloatArray) -> IntArray:
    """(B, 3, 3) bases, rows integer vectors in the basis of `metric`, all with one and the same Gram matrix."""
    reduced, transform = reduce_cell(_rows(metric))
    gram = np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            for k in range(3):
                gram[a, b] += reduced[a, k] * reduced[b, k]
    near, squares = _short_vectors(gram)
    triples = np.empty((0, 3), dtype=np.int64)
    best = np.full(3, -np.inf)
    angles = np.empty(3)
    for a in range(len(near)):
        if not _same(squares[a], gram[0, 0]):
            continue
        for b in range(len(near)):
            if not _same(squares[b], gram[1, 1]):
                continue
            angles[0] = _product(near[a], gram, near[b])
            if angles[0] < best[0] - _SAME:
                continue
            for c in range(len(near)):
                if not _same(squares[c], gram[2, 2]) or abs(_triple(near[a], near[b], near[c])) != 1:
                    continue
                angles[1] = _product(near[a], gram, near[c])
                angles[2] = _product(near[b], gram, near[c])
                order = _compare(angles, best)
                if order > 0:
                    best[:] = angles
                    triples = triples[:0]
                if order >= 0:
                    triples = np.concatenate((triples, np.array([[a, b, c]])))
    bases = np.zeros((len(triples), 3, 3), dtype=np.int64)
    for n in range(len(triples)):
        for row in range(3):
            for k in range(3):
                bases[n, row] += near[triples[n, row], k] * transform[k]
    return bases


@njit(cache=True)
def _rows(metric: FloatArray) -> FloatArray:
    """Lattice rows with this metric: its Cholesky factor."""
    rows = np.zeros((3, 3))
    for r in range(3):
        for c in range(r + 1):
            rest = metric[r, c]
            for k in range(c):
                rest -= rows[r, k] * rows[c, k]
            rows[r, c] = np.sqrt(rest) if r == c else rest / rows[c, c]
    return rows


@njit(cache=True)
def _same(x: float, y: float) -> bool:
    return abs(x - y) < _SAME * max(1.0, y)


@njit(cache=True)
def _compare(x: FloatArray, y: FloatArray) -> int:
    """Sign of the lexicographic comparison, differences below rounding ignored."""
    for k in range(3):
        if x[k] > y[k] + _SAME:
            return 1
        if x[k] < y[k] - _SAME:
            return -1
    return 0


@njit(cache=True)
def _product(u: IntArray, gram: FloatArray, v: IntArray) -> float:
    total = 0.0
    for a in range(3):
        for b in range(3):
            total += u[a] * gram[a, b] * v[b]
    return total


@njit(cache=True)
def _triple(u: IntArray, v: IntArray, w: IntArray) -> int:
    return u[0] * (v[1] * w[2] - v[2] * w[1]) - u[1] * (v[0] * w[2] - v[2] * w[0]) + u[2] * (v[0] * w[1] - v[1] * w[0])


@njit(cache=True)
def _short_vectors(gram: FloatArray) -> tuple[IntArray, FloatArray]:
    """Lattice vectors with coefficients up to two that are no longer than the third minimum, and their squares."""
    vectors = np.empty((124, 3), dtype=np.int64)
    squares = np.empty(124)
    count = 0
    v = np.empty(3, dtype=np.int64)
    for v[0] in range(-2, 3):
        for v[1] in range(-2, 3):
            for v[2] in range(-2, 3):
                square = _product(v, gram, v)
                if square > 0 and (square < gram[2, 2] or _same(square, gram[2, 2])):
                    vectors[count] = v
                    squares[count] = square
                    count += 1
    return vectors[:count], squares[:count]
