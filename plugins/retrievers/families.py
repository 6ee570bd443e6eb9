"""Families: the entries of one anonymous formula, with the ways to lay a question's elements onto each of them.

An exchange maps slots of equal counts onto each other. A candidate is an entry with an exchange; the TYPE that it predicts
(space group, formula units, Wyckoff letters slot by slot of the question) does not depend on the elements.

Shapes: M members, X exchanges, K slots, Y types.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.library.store import Library

MAX_EXCHANGES = 120
"""Exchanges tried for one formula; more than five slots of equal counts are rare."""

Counts = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Family:
    """All entries of one anonymous formula."""

    counts: Counts
    members: NDArray[np.int64]
    """(M,) positions in the library."""
    elements: NDArray[np.int64]
    """(M, K) atomic numbers."""
    exchanges: NDArray[np.int64]
    """(X, K) slot of the question that each slot of the entry takes its element from."""
    types: NDArray[np.int64]
    """(M, X) type that each candidate predicts."""
    units: NDArray[np.int64]
    """(Y,) formula units of each type."""

    @property
    def share(self) -> NDArray[np.float32]:
        """(K,) share of the atoms in each slot."""
        counts = np.array(self.counts, dtype=np.float32)
        return counts / counts.sum()


def exchanges_of(counts: Counts) -> NDArray[np.int64]:
    """(X, K) permutations of the slots that keep the counts, the identity first."""
    blocks = [list(group) for _, group in itertools.groupby(range(len(counts)), key=lambda slot: counts[slot])]
    choices = itertools.product(*(itertools.permutations(block) for block in blocks))
    found = [[slot for block in choice for slot in block] for choice in itertools.islice(choices, MAX_EXCHANGES)]
    return np.array(found, dtype=np.int64)


class Families(Mapping[Counts, Family]):
    """Anonymous formula -> its family, made when it is first asked for."""

    def __init__(self, library: Library) -> None:
        self._library, self._sizes = library, library.ratios()
        self._made: dict[Counts, Family] = {}

    def __getitem__(self, counts: Counts) -> Family:
        if counts not in self._made:
            if counts not in self._sizes:
                raise KeyError(counts)
            self._made[counts] = _family(self._library, counts)
        return self._made[counts]

    def __iter__(self) -> Iterator[Counts]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)


def _family(library: Library, counts: Counts) -> Family:
    rows = library.rows_of(counts)
    ways = exchanges_of(counts)
    names: dict[tuple[object, ...], int] = {}
    types = np.zeros((len(rows), len(ways)), dtype=np.int64)
    for m, row in enumerate(rows):
        letters, (group, units) = library.letters(row), library.group_and_units(row)
        for x, way in enumerate(ways):
            moved = [""] * len(way)
            for slot, text in zip(way, letters, strict=True):
                moved[slot] = text
            types[m, x] = names.setdefault((group, units, *library.canonical(group, tuple(moved))), len(names))
    return Family(
        counts=counts, members=np.array(rows), elements=np.array([library.slots(row)[0] for row in rows]),
        exchanges=ways, types=types, units=np.array([name[1] for name in names]),
    )  # fmt: skip
