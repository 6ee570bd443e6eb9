"""What an arrangement of atoms looks like, independent of cell, setting and volume: its distances, pair by pair of elements.

For every two elements A, B the mean distance from an atom of A to the 1st, 2nd, ... k-th atom of B, in units of (V / N)^(1/3):
the average minimum distances of D. Widdowson et al., MATCH 87, 529 (2022), taken apart by the neighbour's element. Without
that, two ways to order the same sites look alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.geometry.lattice import minkowski_reduce

NEIGHBOURS = 8
SAME = 0.15
"""Largest difference of two distances below which two arrangements are one variant of a type. Of 4,061 candidates for val
questions, those that differ from the true crystal by less match it strictly in 95 %, those between 0.15 and 0.23 in 75 %, those
between 0.23 and 0.36 in 34 %, those beyond 0.45 in 1 %."""
DUPLICATE = 0.06
"""The same for two proposals that say the same."""
ALIKE, WIDTH = 0.2, 0.04
"""Difference at which two arrangements pass for one another with even odds, and how fast this falls off; chosen on val."""
_IMAGES = np.array(list(itertools.product((-2, -1, 0, 1, 2), repeat=3)), dtype=float)


def arrangement(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], numbers: NDArray[np.int64], elements: Sequence[int]
) -> NDArray[np.float32]:
    """(K, K, NEIGHBOURS) mean distances from the atoms of each of K elements to the nearest of each."""
    reduced, _ = minkowski_reduce(lattice)
    frac = np.mod(frac_coords @ lattice @ np.linalg.inv(reduced), 1.0)
    images = (frac[:, None] + _IMAGES[None]).reshape(-1, 3) @ reduced
    cart = frac @ reduced
    squared = (cart**2).sum(-1)[:, None] - 2 * cart @ images.T + (images**2).sum(-1)
    squared[squared < 1e-6] = np.inf  # an atom and itself
    to, length = np.repeat(numbers, len(_IMAGES)), (abs(np.linalg.det(reduced)) / len(frac)) ** (1 / 3)
    found = np.empty((len(elements), len(elements), NEIGHBOURS), dtype=np.float32)
    for b, element in enumerate(elements):
        own = squared[:, to == element]
        nearest = np.sqrt(np.sort(np.partition(own, NEIGHBOURS, axis=1)[:, :NEIGHBOURS], axis=1)) / length
        for a, other in enumerate(elements):
            found[a, b] = nearest[numbers == other].mean(0)
    return found


def differences(shapes: NDArray[np.floating]) -> NDArray[np.float64]:
    """(P, P) largest difference of any distance between every two of P arrangements (P, K, K, NEIGHBOURS)."""
    flat = shapes.reshape(len(shapes), -1)
    return np.array([np.abs(flat - one).max(1) for one in flat], dtype=np.float64).reshape(len(flat), len(flat))


def alike(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far arrangements that differ by so much pass for one another: 1 at no difference, 1/2 at `ALIKE`."""
    return np.asarray((1 + np.exp(-ALIKE / WIDTH)) / (1 + np.exp((difference - ALIKE) / WIDTH)))


def resemblances(shapes: Sequence[NDArray[np.floating] | None]) -> NDArray[np.float64]:
    """(P, P) how far every two of P arrangements pass for one another; only for themselves where one is not known."""
    known = [shape for shape in shapes if shape is not None]
    return alike(differences(np.stack(known))) if known and len(known) == len(shapes) else np.eye(len(shapes))


def pair_distances(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], numbers: NDArray[np.int64], elements: Sequence[int]
) -> NDArray[np.float64]:
    """(K, K) shortest distance in angstrom between atoms of every two of K elements."""
    reduced, _ = minkowski_reduce(lattice)
    frac = np.mod(frac_coords @ lattice @ np.linalg.inv(reduced), 1.0)
    cart, images = frac @ reduced, _IMAGES @ reduced
    difference = cart[:, None] - cart[None]
    squared = (difference**2).sum(-1)[..., None] + 2 * difference @ images.T + (images**2).sum(-1)
    squared[squared < 1e-6] = np.inf  # an atom and itself
    nearest = squared.min(-1)
    groups = [numbers == element for element in elements]
    return np.sqrt([[nearest[np.ix_(a, b)].min() for b in groups] for a in groups])
