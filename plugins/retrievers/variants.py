"""Variants of a structure type: entries with the same orbits but other distances, such as a distorted and an ideal form.

They are told apart by their distances, pair by pair of elements (core/library/distances.py).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.library.distances import SAME, arrangement
from crystalfw.core.library.store import Library


class Variants:
    """Distances of a library's entries, computed when they are asked for."""

    def __init__(self, library: Library) -> None:
        self.distances = lru_cache(maxsize=50_000)(lambda row: _distances(library, row))

    def distinct(self, rows: list[tuple[int, NDArray[np.int64]]], limit: int) -> list[list[int]]:
        """Groups of positions in `rows` (entry, exchange) that are one variant, in the order of their first member."""
        found: list[tuple[NDArray[np.float32], list[int]]] = []
        for place, (row, way) in enumerate(rows):
            moved = self._moved(row, way)
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
        moved = np.stack([self._moved(row, way) for row, way in rows])
        mean = np.tensordot(weights / weights.sum(), moved, 1)
        return int(np.abs(moved - mean).mean((1, 2, 3)).argmin())

    def _moved(self, row: int, way: NDArray[np.int64]) -> NDArray[np.float32]:
        """An entry's distances, its slots where the question has them."""
        moved = np.empty_like(self.distances(row))
        moved[np.ix_(way, way)] = self.distances(row)
        return moved


def _distances(library: Library, row: int) -> NDArray[np.float32]:
    entry = library[row]
    return arrangement(entry.lattice, entry.frac_coords, entry.numbers, entry.elements)
