"""Bonds by effective coordination numbers (ECoN), every periodic image included.

Hoppe, Z. Kristallogr. 150 (1979) 23: the weighted mean distance of atom i is the fixed point of
m_i = sum(w d) / sum(w) with w = exp(1 - (d / m_i)^6), started at the shortest distance; neighbours with w above the
tolerance are bonded. Same settings, stopping rule and result as pymatgen's EconNN; a bond seen from either end counts.

Shapes: N atoms, P pairs, E bonds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.geometry.compiled_reduction import determinant, inverse
from crystalfw.core.system.compiled import njit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

TOLERANCE = 0.2
"""Minimum weight of a bond."""
MAX_LENGTH = 10.0
"""No bond is longer, in angstrom."""
COINCIDENT = 1e-2
"""Atoms closer than this, in angstrom, coincide."""
_REACH = 1.7  # beyond this many mean distances a neighbour weighs less than 1e-10


@njit(cache=True)
def half_pairs(lattice: FloatArray, frac_coords: FloatArray, cutoff: float) -> tuple[IntArray, FloatArray]:
    """Every pair of atoms closer than `cutoff` once: (P, 5) rows i, j, shift with i <= j, and lengths (P,).

    `frac_coords` must be wrapped into [0, 1). Loops come with a positive first non-zero shift.
    """
    n_atoms = len(frac_coords)
    dual = inverse(lattice)
    reach = np.empty(3)
    for a in range(3):
        reach[a] = cutoff * np.sqrt(dual[0, a] ** 2 + dual[1, a] ** 2 + dual[2, a] ** 2)
    pairs = np.empty((64 * n_atoms, 5), dtype=np.int64)
    lengths = np.empty(64 * n_atoms)
    count = 0
    for i in range(n_atoms):
        for j in range(i, n_atoms):
            d0 = frac_coords[j, 0] - frac_coords[i, 0]
            d1 = frac_coords[j, 1] - frac_coords[i, 1]
            d2 = frac_coords[j, 2] - frac_coords[i, 2]
            first = 0 if i == j else int(np.ceil(-reach[0] - d0))
            for s0 in range(first, int(np.floor(reach[0] - d0)) + 1):
                for s1 in range(int(np.ceil(-reach[1] - d1)), int(np.floor(reach[1] - d1)) + 1):
                    u0, u1 = d0 + s0, d1 + s1
                    x = u0 * lattice[0, 0] + u1 * lattice[1, 0]
                    y = u0 * lattice[0, 1] + u1 * lattice[1, 1]
                    z = u0 * lattice[0, 2] + u1 * lattice[1, 2]
                    for s2 in range(int(np.ceil(-reach[2] - d2)), int(np.floor(reach[2] - d2)) + 1):
                        u2 = d2 + s2
                        vx, vy, vz = x + u2 * lattice[2, 0], y + u2 * lattice[2, 1], z + u2 * lattice[2, 2]
                        square = vx * vx + vy * vy + vz * vz
                        if square >= cutoff * cutoff:
                            continue
                        if i == j and s0 == 0 and (s1 < 0 or (s1 == 0 and s2 <= 0)):
                            continue
                        if count == len(lengths):
                            pairs = np.concatenate((pairs, np.empty_like(pairs)))
                            lengths = np.concatenate((lengths, np.empty_like(lengths)))
                        pairs[count, 0], pairs[count, 1] = i, j
                        pairs[count, 2], pairs[count, 3], pairs[count, 4] = s0, s1, s2
                        lengths[count] = np.sqrt(square)
                        count += 1
    return pairs[:count], lengths[:count]


@njit(cache=True)
def econ_bonds(lattice: FloatArray, frac_coords: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Bonds (E, 5) as rows i, j, shift, their lengths (E,), and the mean distance of each atom (N,).

    The mean distance is infinite for an atom without a neighbour within 10 angstrom: it has no bonds of its own.
    Atoms closer than COINCIDENT give a length below it; the caller decides.
    """
    n_atoms = len(frac_coords)
    cutoff = min(MAX_LENGTH, 1.95 * (abs(determinant(lattice)) / n_atoms) ** (1 / 3))
    while True:
        pairs, lengths = half_pairs(lattice, frac_coords, cutoff)
        if len(lengths) > 0 and lengths.min() < COINCIDENT:  # the weighted mean would divide by zero
            return pairs, lengths, np.full(n_atoms, lengths.min())
        mean = _mean_distances(n_atoms, pairs, lengths)
        needed = _REACH * mean.max()
        if cutoff >= MAX_LENGTH or needed <= cutoff:
            break
        cutoff = min(MAX_LENGTH, 1.3 * cutoff if np.isinf(needed) else 1.01 * needed)
    limit = (1 - np.log(TOLERANCE)) ** (1 / 6)
    bonded = np.empty(len(lengths), dtype=np.bool_)
    for p in range(len(lengths)):
        bonded[p] = lengths[p] < limit * max(_finite(mean[pairs[p, 0]]), _finite(mean[pairs[p, 1]]))
    return pairs[bonded], lengths[bonded], mean


@njit(cache=True)
def _finite(value: float) -> float:
    return 0.0 if np.isinf(value) else value


@njit(cache=True)
def _mean_distances(n_atoms: int, pairs: IntArray, lengths: FloatArray) -> FloatArray:
    """(N,) Hoppe's weighted mean distance of each atom, each iterated until it moves by less than 1e-4 angstrom."""
    start = np.zeros(n_atoms + 1, dtype=np.int64)
    for p in range(len(lengths)):
        start[pairs[p, 0] + 1] += 1
        start[pairs[p, 1] + 1] += 1
    start = np.cumsum(start)
    fill = start[:-1].copy()
    around = np.empty(start[-1])
    for p in range(len(lengths)):
        for end in range(2):  # a loop is a neighbour in both directions
            atom = pairs[p, end]
            around[fill[atom]] = lengths[p]
            fill[atom] += 1
    mean = np.full(n_atoms, np.inf)
    for atom in range(n_atoms):
        distances = around[start[atom] : start[atom + 1]]
        if len(distances) == 0:
            continue
        now, before = _weighted_mean(distances, distances.min()), np.inf
        while abs(before - now) > 1e-4:
            before, now = now, _weighted_mean(distances, now)
        mean[atom] = now
    return mean


@njit(cache=True)
def _weighted_mean(distances: FloatArray, scale: float) -> float:
    total = weights = 0.0
    for distance in distances:
        ratio = distance / scale
        exponent = 1 - ratio * ratio * ratio * ratio * ratio * ratio
        if exponent > -40:
            weight = np.exp(exponent)
            total += weight * distance
            weights += weight
    return total / weights
