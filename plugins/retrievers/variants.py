"""Variants of a structure type: entries with the same orbits but other distances, such as a distorted and an ideal form.

They are told apart by average minimum distances: for each slot the mean distance to the 1st, 2nd, ... k-th neighbour, in
units of (V / N)^(1/3). Source: D. Widdowson et al., MATCH 87, 529 (2022).
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.geometry.lattice import minkowski_reduce
from crystalfw.core.library.entry import Entry
from crystalfw.core.library.store import Library

NEIGHBOURS = 16
DIFFERENT = 0.12
"""Largest difference of two distances below which entries count as one variant; set by hand, not tuned."""
_IMAGES = np.array(list(itertools.product((-2, -1, 0, 1, 2), repeat=3)), dtype=float)


def minimum_distances(entry: Entry) -> NDArray[np.float64]:
    """(K, NEIGHBOURS) mean distances of each slot, in the entry's own order of slots."""
    lattice, _ = minkowski_reduce(entry.lattice)
    cart = entry.frac_coords @ entry.lattice
    frac = np.mod(cart @ np.linalg.inv(lattice), 1.0)
    images = (frac[:, None] + _IMAGES[None]).reshape(-1, 3) @ lattice
    scale = (abs(np.linalg.det(lattice)) / len(frac)) ** (1 / 3)
    rows = []
    for element in entry.elements:
        own = frac[entry.numbers == element] @ lattice
        distances = np.linalg.norm(own[:, None] - images[None], axis=-1)
        rows.append(np.partition(distances, NEIGHBOURS, axis=1)[:, : NEIGHBOURS + 1].copy())
    return np.array([np.sort(row, axis=1)[:, 1:].mean(0) / scale for row in rows])


class Variants:
    """Minimum distances of a library's entries, computed when they are asked for."""

    def __init__(self, library: Library) -> None:
        self.distances = lru_cache(maxsize=50_000)(lambda row: minimum_distances(library[row]))

    def distinct(self, rows: list[tuple[int, NDArray[np.int64]]], limit: int) -> list[list[int]]:
        """Groups of positions in `rows` (entry, exchange) that are one variant, in the order of their first member."""
        found: list[tuple[NDArray[np.float64], list[int]]] = []
        for place, (row, way) in enumerate(rows):
            moved = np.empty_like(self.distances(row))
            moved[way] = self.distances(row)
            for known, group in found:
                if np.abs(known - moved).max() < DIFFERENT:
                    group.append(place)
                    break
            else:
                if len(found) < limit:
                    found.append((moved, [place]))
        return [group for _, group in found]
