"""Relatives of a composition: parents in which two of its elements are one species, ordered.

LiCoO2 is a parent of the ratio 1:1 whose metal sites are shared out between Li and Co. A parent is a candidate like any
other, of the cost of putting both elements where the parent has one; each ordering pays for the symmetry that it breaks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import Reject
from crystalfw.core.interfaces import Proposal, Question
from crystalfw.core.library.distances import pair_distances
from crystalfw.core.library.entry import describe
from crystalfw.core.library.store import Library
from crystalfw.plugins.retrievers.bonds import strain
from crystalfw.plugins.retrievers.families import Counts, Family, exchanges_of
from crystalfw.plugins.retrievers.orderings import Ordering, orderings
from crystalfw.plugins.retrievers.volumes import exchange_scale

PARENTS = 12
"""Nearest parents that are ordered."""
PER_PARENT = 2
"""Orderings of one parent that are proposed."""
LARGEST = 4
"""Parent cells in the cell of an ordering."""
PENALTY = 2.0
"""What an ordering of a parent costs against a crystal of the question's own ratio, in nats."""

Score = Callable[[Family], NDArray[np.float64]]
"""A family whose slots are the question's -> (M,) minus the cost."""


@dataclass(frozen=True)
class Parent:
    """An entry that is to be ordered for a question."""

    row: int
    elements: tuple[int, ...]
    """The parent's element where each element of the question goes."""
    pair: tuple[int, int]
    """Slots of the question that share a species."""
    score: float


class Relatives:
    """Makes proposals from parents in one library."""

    def __init__(
        self, library: Library, families: Mapping[Counts, Family], volumes: NDArray[np.float64], bonds: NDArray[np.float64]
    ) -> None:
        self._library, self._families, self._volumes, self._bonds = library, families, volumes, bonds

    def proposals(self, question: Question, score: Score, least: float) -> list[tuple[float, Proposal]]:
        """(score, proposal) of at least `least`, the best first; the score is comparable with a type's."""
        found = []
        for parent in self._parents(question, score, least):
            found += self._ordered(question, parent, least)
        return sorted(found, key=lambda pair: -pair[0])

    def _parents(self, question: Question, score: Score, least: float) -> list[Parent]:
        """The nearest parents, at most one of each type and pair."""
        found: dict[tuple[object, ...], Parent] = {}
        for pair in itertools.combinations(range(len(question.counts)), 2):
            for parent in self._of_pair(question, pair, score):
                if parent.score < least:
                    break
                letters = self._library.letters(parent.row)
                key = (pair, self._library.group_and_units(parent.row), letters)
                if key not in found or found[key].score < parent.score:
                    found[key] = parent
        return sorted(found.values(), key=lambda parent: -parent.score)[:PARENTS]

    def _of_pair(self, question: Question, pair: tuple[int, int], score: Score) -> list[Parent]:
        slots = [k for k in range(len(question.counts)) if k not in pair]
        merged = [*(question.counts[k] for k in slots), question.counts[pair[0]] + question.counts[pair[1]]]
        common = math.gcd(*merged)
        order = sorted(range(len(merged)), key=lambda k: merged[k])
        family = self._families.get(tuple(merged[k] // common for k in order))
        if family is None:
            return []
        # where each slot of the question stands among the parent's slots
        place = {k: order.index(slots.index(k)) for k in slots} | dict.fromkeys(pair, order.index(len(slots)))
        columns = np.array([place[k] for k in range(len(question.counts))])
        ways = exchanges_of(family.counts)
        inverse = np.argsort(ways, axis=1)
        expanded = family.elements[:, inverse][..., columns].reshape(-1, len(columns))
        virtual = replace(
            family, counts=question.counts, members=np.repeat(family.members, len(ways)), elements=expanded,
            exchanges=np.arange(len(columns))[None], types=np.zeros((len(expanded), 1), dtype=np.int64),
        )  # fmt: skip
        values = score(virtual)
        best = np.argsort(-values, kind="stable")[: 4 * PARENTS]
        return [
            Parent(int(virtual.members[k]), tuple(expanded[k].tolist()), pair, float(values[k]) - PENALTY)
            for k in best.tolist()
        ]

    def _ordered(self, question: Question, parent: Parent, least: float) -> list[tuple[float, Proposal]]:
        entry = self._library[parent.row]
        first, second = (question.counts[slot] for slot in parent.pair)
        shared = parent.elements[parent.pair[0]]
        sites = np.flatnonzero(entry.numbers == shared)
        found: list[tuple[float, Proposal]] = []
        for size in range(1, LARGEST + 1):
            units, rest = divmod(len(entry.numbers) * size, sum(question.counts))
            if rest or (question.units and units not in question.units) or (not question.units and size > 2):
                continue
            for ordering in orderings(entry.lattice, entry.frac_coords, sites, first / (first + second), size)[:PER_PARENT]:
                if parent.score - math.log(ordering.equivalents) < least:
                    break
                made = self._proposal(question, parent, ordering)
                if made is not None and made.units == units:
                    found.append((parent.score - math.log(ordering.equivalents), made))
        return found[: 2 * PER_PARENT]

    def _proposal(self, question: Question, parent: Parent, ordering: Ordering) -> Proposal | None:
        entry = self._library[parent.row]
        to = {old: question.elements[slot] for slot, old in enumerate(parent.elements) if slot not in parent.pair}
        to[parent.elements[parent.pair[0]]] = question.elements[parent.pair[1]]
        old = entry.numbers[ordering.origin]
        numbers = np.array([to[int(number)] for number in old])
        numbers[ordering.first] = question.elements[parent.pair[0]]
        scale = exchange_scale(self._volumes, old, numbers)
        crystal = Crystal(lattice=ordering.lattice * scale, frac_coords=ordering.frac_coords, numbers=numbers)
        try:
            known = describe(crystal)
        except Reject:  # an ordering in which spglib finds no symmetry is no candidate
            return None
        shortest = pair_distances(known.lattice, known.frac_coords, known.numbers, question.elements)
        closest, mean = strain(shortest, np.array(question.elements), self._bonds)
        kept = sum(c for c, new, was in zip(question.counts, question.elements, parent.elements, strict=True) if new == was)
        evidence = {
            "relative": 1.0, "type": parent.score - math.log(ordering.equivalents), "nearest": parent.score + PENALTY,
            "known": math.log(ordering.equivalents), "closest": closest, "strain": mean, "kept": kept / sum(question.counts),
            "orbits": math.log(sum(map(len, known.letters))), "atoms": math.log(len(numbers)),
        }  # fmt: skip
        return Proposal(
            known.crystal(), 0.0, template=entry.id, source=self._library.source(parent.row), group=known.group,
            units=known.units, evidence=evidence,
        )  # fmt: skip
