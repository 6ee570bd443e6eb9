"""What an arrangement of atoms looks like, independent of cell, setting and volume: average minimum distances.

For each element the mean distance to the 1st, 2nd, ... k-th neighbour, in units of (V / N)^(1/3).
Source: D. Widdowson et al., MATCH 87, 529 (2022).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.geometry.lattice import minkowski_reduce

NEIGHBOURS = 16
SAME = 0.12
"""Largest difference of two distances below which two arrangements count as one; set by hand, not tuned."""
DUPLICATE = 0.03
"""The same for two proposals that say the same; of arrangements between both values some match strictly, others do not."""
_IMAGES = np.array(list(itertools.product((-2, -1, 0, 1, 2), repeat=3)), dtype=float)


def minimum_distances(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], numbers: NDArray[np.int64], elements: Sequence[int]
) -> NDArray[np.float64]:
    """(K, NEIGHBOURS) mean distances around the atoms of each of K elements."""
    reduced, _ = minkowski_reduce(lattice)
    frac = np.mod(frac_coords @ lattice @ np.linalg.inv(reduced), 1.0)
    images = (frac[:, None] + _IMAGES[None]).reshape(-1, 3) @ reduced
    squared_images = (images**2).sum(-1)
    cart = frac @ reduced
    squared = (cart**2).sum(-1)[:, None] - 2 * cart @ images.T + squared_images
    nearest = np.sort(np.partition(squared, NEIGHBOURS, axis=1)[:, : NEIGHBOURS + 1], axis=1)[:, 1:]
    distances = np.sqrt(nearest.clip(0)) / (abs(np.linalg.det(reduced)) / len(frac)) ** (1 / 3)
    return np.array([distances[numbers == element].mean(0) for element in elements])


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
