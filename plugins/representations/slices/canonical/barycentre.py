"""The standard realisation of a periodic graph, as far as the canonical form needs it: topology alone, all weights one.

Every atom sits at the barycentre of its neighbours; the lattice metric is the inverse of the sum of v v^T over the edge
vectors v (Kotani & Sunada, Trans. AMS 353 (2000) 1; Delgado-Friedrichs & O'Keeffe, Acta Cryst. A59 (2003) 351). It is
unique up to isometry, so every quantity measured in it depends on the graph only.

Shapes: N atoms, E edges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.geometry.compiled_reduction import determinant, inverse
from crystalfw.core.system.compiled import njit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@njit(cache=True)
def realise(n_atoms: int, edges: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fractional coordinates (N, 3), metric (3, 3) of unit determinant and squared edge lengths (E,).

    `edges` (E, 5) has rows i, j, shift and must make one three-dimensional net (`cycles.is_three_dimensional`).
    """
    frac_coords = _barycentres(n_atoms, edges)
    vectors = np.empty((len(edges), 3))
    moment = np.zeros((3, 3))
    for e in range(len(edges)):
        for a in range(3):
            vectors[e, a] = frac_coords[edges[e, 1], a] + edges[e, 2 + a] - frac_coords[edges[e, 0], a]
        for a in range(3):
            for b in range(3):
                moment[a, b] += vectors[e, a] * vectors[e, b]
    metric = inverse(moment) * np.cbrt(determinant(moment))
    squares = np.zeros(len(edges))
    for e in range(len(edges)):
        for a in range(3):
            for b in range(3):
                squares[e] += vectors[e, a] * metric[a, b] * vectors[e, b]
    return frac_coords, metric, squares


@njit(cache=True)
def _barycentres(n_atoms: int, edges: IntArray) -> FloatArray:
    """Solve the graph Laplacian with atom 0 at the origin, by Cholesky factors of the other rows."""
    laplacian = np.zeros((n_atoms, n_atoms))
    pull = np.zeros((n_atoms, 3))
    for e in range(len(edges)):
        i, j = edges[e, 0], edges[e, 1]
        if i == j:
            continue
        laplacian[i, i] += 1
        laplacian[j, j] += 1
        laplacian[i, j] -= 1
        laplacian[j, i] -= 1
        for a in range(3):
            pull[i, a] += edges[e, 2 + a]
            pull[j, a] -= edges[e, 2 + a]
    frac_coords = np.zeros((n_atoms, 3))
    factor = np.zeros((n_atoms, n_atoms))
    for r in range(1, n_atoms):
        for c in range(1, r + 1):
            rest = laplacian[r, c]
            for k in range(1, c):
                rest -= factor[r, k] * factor[c, k]
            factor[r, c] = np.sqrt(rest) if r == c else rest / factor[c, c]
    for a in range(3):
        for r in range(1, n_atoms):
            rest = pull[r, a]
            for k in range(1, r):
                rest -= factor[r, k] * frac_coords[k, a]
            frac_coords[r, a] = rest / factor[r, r]
        for r in range(n_atoms - 1, 0, -1):
            rest = frac_coords[r, a]
            for k in range(r + 1, n_atoms):
                rest -= factor[k, r] * frac_coords[k, a]
            frac_coords[r, a] = rest / factor[r, r]
    return frac_coords
