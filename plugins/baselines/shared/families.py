"""Crystals by anonymous formula, and the cheapest exchange of their elements for those of a question.

A crystal's elements stand in slots ordered by count and atomic number. A question of the same counts may take each slot's
element, or that of another slot of equal count. Shapes: M members, K slots, X exchanges, Z atomic numbers.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Baseline, Sample, Wanted
from crystalfw.core.library.entry import slots_of

MAX_Z = 119
MAX_EXCHANGES = 120
"""Assignments of slots that are tried; formulas with more equal counts are rare."""
Costs = NDArray[np.float64]
"""(Z, Z) cost of putting the element of the column in place of that of the row."""


class Families:
    """Crystals grouped by the counts of their reduced formula."""

    def __init__(self, crystals: Sequence[Crystal]) -> None:
        self.crystals = crystals
        rows: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]] = defaultdict(list)
        for place, crystal in enumerate(crystals):
            elements, counts, _ = slots_of(crystal.numbers)
            rows[counts].append((place, elements))
        self._members = {
            counts: (np.array([place for place, _ in found]), np.array([elements for _, elements in found]))
            for counts, found in rows.items()
        }

    def ranked(self, numbers: tuple[int, ...], costs: Costs, n: int) -> list[tuple[int, dict[int, int]]]:
        """The n crystals of the question's ratio with the cheapest exchange, each with its exchange (old -> new element)."""
        wanted, counts, _ = slots_of(np.array(numbers))
        if counts not in self._members:
            return []
        places, elements_MK = self._members[counts]
        orders = _orders(counts)
        targets_XK = np.array(wanted)[np.array(orders)]
        shares_K = np.array(counts) / sum(counts)
        cost_MX = (costs[elements_MK[:, None, :], targets_XK[None]] * shares_K).sum(-1)
        chosen = np.argsort(cost_MX.min(1), kind="stable")[:n].tolist()
        return [
            (int(places[m]), dict(zip(elements_MK[m].tolist(), targets_XK[int(cost_MX[m].argmin())].tolist(), strict=True)))
            for m in chosen
        ]


class Exchanger:
    """Puts elements in place of others and corrects the volume: every element takes a share of the cell (Zen's law)."""

    def __init__(self, crystals: Sequence[Crystal]) -> None:
        total, volumes = np.zeros((MAX_Z, MAX_Z)), np.zeros(MAX_Z)
        for crystal in crystals:
            counts = np.bincount(crystal.numbers, minlength=MAX_Z).astype(float) / crystal.n_atoms
            total += np.outer(counts, counts)
            volumes += counts * crystal.volume / crystal.n_atoms
        # least squares with a weak pull to the mean, which elements that no crystal holds keep
        mean = volumes.sum() / max(len(crystals), 1)
        found = np.linalg.solve(total + 0.1 * np.eye(MAX_Z), volumes + 0.1 * mean)
        self.volumes = np.clip(found, 3.0, 120.0)

    def __call__(self, crystal: Crystal, exchange: dict[int, int]) -> Crystal:
        """The crystal with the elements exchanged and its volume scaled."""
        numbers = np.array([exchange.get(number, number) for number in crystal.numbers.tolist()])
        scale = (self.volumes[numbers].sum() / self.volumes[crystal.numbers].sum()) ** (1 / 3)
        return replace(crystal, lattice=crystal.lattice * scale, numbers=numbers)


class Answering(Baseline):
    """A baseline that answers a composition with the crystal whose elements are cheapest to exchange.

    One whose options have `free` draws at random where that is set, whatever was asked for.
    """

    answers = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.free: bool = getattr(config, "free", False)
        self.answers = not self.free

    def answered(self, wanted: Sequence[Wanted], families: Families, exchanger: Exchanger, costs: Costs) -> Iterator[Sample]:
        """The answer of rank `rank` to each question; ranking one question twice is avoided where they follow each other."""
        depth = 1 + max((one.rank for one in wanted), default=0)

        @lru_cache(maxsize=64)
        def ranked(numbers: tuple[int, ...]) -> list[tuple[int, dict[int, int]]]:
            return families.ranked(numbers, costs, depth)

        for one in wanted:
            if not one.numbers:
                yield one.failed("no composition is asked for: the sample that it stands beside is no crystal")
                continue
            found = ranked(one.numbers)
            if one.rank < len(found):
                place, exchange = found[one.rank]
                yield one.made(exchanger(families.crystals[place], exchange))
            else:
                ratio = ":".join(map(str, slots_of(np.array(one.numbers))[1]))
                yield one.failed(f"no further known crystal of the ratio {ratio}")


def _orders(counts: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Assignments of slots to slots of equal count."""
    groups = [list(group) for _, group in itertools.groupby(range(len(counts)), key=lambda slot: counts[slot])]
    every = itertools.product(*(itertools.permutations(group) for group in groups))
    return [tuple(itertools.chain(*order)) for order in itertools.islice(every, MAX_EXCHANGES)]
