"""Minkowski reduction for compiled code: the three shortest independent lattice vectors as a right-handed basis.

Greedy algorithm in three dimensions (Semaev, CaLC 2001, LNCS 2146, 181; Nguyen & Stehle, ACM TALG 5 (2009) 46). Where
several bases are equally short, `lattice.minkowski_reduce` may choose another one. Canonical strings and prepared data
depend on the respective choice, so that neither can replace the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.system.compiled import njit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_RELATIVE = 1e-9  # a vector is replaced only by one that is shorter by more than rounding


@njit(cache=True)
def reduce_cell(lattice: FloatArray) -> tuple[FloatArray, IntArray]:
    """Reduced rows (3, 3), right-handed, and the unimodular T with reduced = T @ lattice."""
    rows = lattice.copy()
    transform = np.eye(3, dtype=np.int64)
    for _ in range(1000):
        _sort_rows(rows, transform)
        if not (_shorten_second(rows, transform) or _shorten_third(rows, transform)):
            break
    if determinant(rows) < 0:
        rows, transform = -rows, -transform
    return rows, transform


@njit(cache=True)
def determinant(m: FloatArray) -> float:
    """Determinant of a 3 x 3 matrix."""
    return (
        m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
        - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
        + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
    )


@njit(cache=True)
def inverse(m: FloatArray) -> FloatArray:
    """Inverse of a 3 x 3 matrix, by cofactors."""
    out = np.empty((3, 3))
    for a in range(3):
        for b in range(3):
            r, s, c, d = (b + 1) % 3, (b + 2) % 3, (a + 1) % 3, (a + 2) % 3
            out[a, b] = m[r, c] * m[s, d] - m[r, d] * m[s, c]
    return out / determinant(m)


@njit(cache=True)
def _dot(u: FloatArray, v: FloatArray) -> float:
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@njit(cache=True)
def _sort_rows(rows: FloatArray, transform: IntArray) -> None:
    """Shortest row first; stable, three comparisons."""
    for a, b in ((0, 1), (1, 2), (0, 1)):
        if _dot(rows[b], rows[b]) < _dot(rows[a], rows[a]) * (1 - _RELATIVE):
            for c in range(3):
                rows[a, c], rows[b, c] = rows[b, c], rows[a, c]
                transform[a, c], transform[b, c] = transform[b, c], transform[a, c]


@njit(cache=True)
def _shorten_second(rows: FloatArray, transform: IntArray) -> bool:
    ratio = _dot(rows[1], rows[0]) / _dot(rows[0], rows[0])
    if abs(ratio) <= 0.5 + _RELATIVE:
        return False
    times = np.int64(np.rint(ratio))
    rows[1] -= times * rows[0]
    transform[1] -= times * transform[0]
    return True


@njit(cache=True)
def _shorten_third(rows: FloatArray, transform: IntArray) -> bool:
    """Replace the third row by its shortest translate in the plane lattice of the first two."""
    g00, g01, g11 = _dot(rows[0], rows[0]), _dot(rows[0], rows[1]), _dot(rows[1], rows[1])
    p0, p1 = _dot(rows[2], rows[0]), _dot(rows[2], rows[1])
    det = g00 * g11 - g01 * g01
    low0, low1 = np.floor((p0 * g11 - p1 * g01) / det), np.floor((p1 * g00 - p0 * g01) / det)
    own = _dot(rows[2], rows[2])
    best, best0, best1 = own * (1 - _RELATIVE), 0.0, 0.0
    for n0 in range(-1, 3):
        for n1 in range(-1, 3):
            c0, c1 = low0 + n0, low1 + n1
            norm = own - 2 * (c0 * p0 + c1 * p1) + c0 * c0 * g00 + 2 * c0 * c1 * g01 + c1 * c1 * g11
            if norm < best:
                best, best0, best1 = norm, c0, c1
    if best0 == 0 and best1 == 0:
        return False
    rows[2] -= best0 * rows[0] + best1 * rows[1]
    transform[2] -= np.int64(best0) * transform[0] + np.int64(best1) * transform[1]
    return True
