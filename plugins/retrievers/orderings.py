"""Ways to give the sites of one species to two elements: the orderings of a parent structure, the most symmetric first.

All ways of choosing sites are grouped by two sums over pairs, which symmetry does not change; a group's size is the number of
symmetry operations that the ordering breaks (orbit and stabiliser), so small groups are symmetric orderings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.geometry.lattice import minkowski_reduce

MAX_CHOICES = 500
"""Choices of sites looked at in one cell; a cell with more is left out."""
MAX_ATOMS = 40
_IMAGES = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=float)


@dataclass(frozen=True, eq=False)
class Ordering:
    """A cell in which `first` marks the sites of the first of the two elements."""

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    """(N, 3)."""
    origin: NDArray[np.int64]
    """(N,) atom of the parent's cell that each atom is a copy of."""
    first: NDArray[np.bool_]
    """(N,)."""
    equivalents: int
    """Choices of sites that symmetry makes equal to this one."""


def supercells(size: int) -> Iterator[NDArray[np.int64]]:
    """The (3, 3) matrices in Hermite normal form of this determinant: every supercell once."""
    for a in range(1, size + 1):
        for b in range(1, size // a + 1):
            if size % (a * b) == 0:
                c = size // (a * b)
                for d, e, f in itertools.product(range(b), range(c), range(c)):
                    yield np.array([[a, d, e], [0, b, f], [0, 0, c]])


def orderings(
    lattice: NDArray[np.float64], frac: NDArray[np.float64], sites: NDArray[np.int64], share: float, size: int
) -> list[Ordering]:
    """Distinct ways to give `share` of the atoms `sites` to one element, in all supercells of `size` parent cells."""
    found = []
    for matrix in supercells(size):
        cell, coordinates, origin = _repeated(lattice, frac, matrix, size)
        own = np.flatnonzero(np.isin(origin, sites))
        taken = round(share * len(own))
        if len(coordinates) <= MAX_ATOMS and 0 < taken < len(own) and math.comb(len(own), taken) <= MAX_CHOICES:
            found += _distinct(cell, coordinates, origin, own, taken)
    return sorted(found, key=lambda ordering: ordering.equivalents)


def _repeated(
    lattice: NDArray[np.float64], frac: NDArray[np.float64], matrix: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Cell, coordinates and origins of a supercell."""
    inverse = np.linalg.inv(matrix)
    shifts = itertools.product(*(range(int(n)) for n in np.diag(matrix)))
    coordinates = np.concatenate([(frac + np.array(shift)) @ inverse for shift in shifts])
    return matrix @ lattice, np.mod(coordinates, 1.0), np.tile(np.arange(len(frac)), size)


def _distinct(
    cell: NDArray[np.float64], coordinates: NDArray[np.float64], origin: NDArray[np.int64], own: NDArray[np.int64], taken: int
) -> list[Ordering]:
    near, far = _pair_sums(cell, coordinates[own])
    choices = np.array(list(itertools.combinations(range(len(own)), taken)))
    marks = np.zeros((len(choices), len(own)))
    np.put_along_axis(marks, choices, 1.0, axis=1)
    sums = np.stack([np.einsum("ci,ij,cj->c", marks, pairs, marks, optimize=True) for pairs in (near, far)], axis=1)
    _, places, counts = np.unique(np.round(sums, 5), axis=0, return_index=True, return_counts=True)
    found = []
    for place, count in zip(places.tolist(), counts.tolist(), strict=True):
        first = np.zeros(len(origin), dtype=bool)
        first[own[choices[place]]] = True
        found.append(Ordering(cell, coordinates, origin, first, count))
    return found


def _pair_sums(cell: NDArray[np.float64], coordinates: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, n) sums over images of two decaying functions of the distance, in units of the sites' own spacing."""
    reduced, _ = minkowski_reduce(cell)
    frac = np.mod(coordinates @ cell @ np.linalg.inv(reduced), 1.0)
    difference = frac[:, None] - frac[None]
    difference -= np.round(difference)
    spacing = (abs(np.linalg.det(cell)) / len(frac)) ** (1 / 3)
    vectors = difference[:, :, None] @ reduced + (_IMAGES @ reduced)
    distance = np.linalg.norm(vectors, axis=-1) / spacing
    return np.exp(-3 * distance**2).sum(-1), np.exp(-(distance**2)).sum(-1)
