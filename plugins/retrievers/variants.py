"""Variants of a structure type: entries with the same orbits but other distances, such as a distorted and an ideal form.

They are told apart by their average minimum distances.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.library.distances import SAME, minimum_distances
from crystalfw.core.library.store import Library


class Variants:
    """Minimum distances of a library's entries, computed when they are asked for."""

    def __init__(self, library: Library) -> None:
        self.distances = lru_cache(maxsize=50_000)(lambda row: _distances(library, row))

    def distinct(self, rows: list[tuple[int, NDArray[np.int64]]], limit: int) -> list[list[int]]:
        """Groups of positions in `rows` (entry, exchange) that are one variant, in the order of their first member."""
        found: list[tuple[NDArray[np.float64], list[int]]] = []
        for place, (row, way) in enumerate(rows):
            moved = np.empty_like(self.distances(row))
            moved[way] = self.distances(row)
            for known, group in found:
                if np.abs(known - moved).max() < SAME:
                    group.append(place)
                    break
            else:
                if len(found) < limit:
                    found.append((moved, [place]))
        return [group for _, group in found]

    def most_typical(self, rows: list[tuple[int, NDArray[np.int64]]], weights: NDArray[np.floating]) -> int:
        """The position in `rows` (entry, exchange) whose distances are nearest to the weighted mean of all."""
        moved = np.empty((len(rows), *self.distances(rows[0][0]).shape))
        for place, (row, way) in enumerate(rows):
            moved[place, way] = self.distances(row)
        mean = np.tensordot(weights / weights.sum(), moved, 1)
        return int(np.abs(moved - mean).mean((1, 2)).argmin())


def _distances(library: Library, row: int) -> NDArray[np.float64]:
    entry = library[row]
    return minimum_distances(entry.lattice, entry.frac_coords, entry.numbers, entry.elements)
