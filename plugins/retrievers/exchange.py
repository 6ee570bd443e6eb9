"""A known crystal with its elements exchanged, as a proposal with the evidence for and against it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Proposal, Question
from crystalfw.core.library.distances import pair_distances
from crystalfw.core.library.entry import Entry
from crystalfw.core.library.store import Library
from crystalfw.plugins.retrievers.bonds import strain
from crystalfw.plugins.retrievers.families import Family
from crystalfw.plugins.retrievers.volumes import exchange_scale


@dataclass(frozen=True)
class Candidate:
    """A variant of a type: its nearest member under an exchange."""

    member: int
    way: int
    probability: float
    type_probability: float
    nearest: float
    """Minus the cost of the nearest member."""
    votes: int
    """Near members that are this variant."""
    known: int
    """Ways to get the type from the library."""
    pull: float
    """Log of the summed weights of all voters over the nearest one's."""


class Exchange:
    """Makes proposals from entries of one library."""

    def __init__(self, library: Library, volumes: NDArray[np.float64], bonds: NDArray[np.float64]) -> None:
        self._library, self._volumes, self._bonds = library, volumes, bonds
        self._entry = lru_cache(maxsize=20_000)(self._described)

    def _described(self, row: int) -> tuple[Entry, NDArray[np.float64]]:
        entry = self._library[row]
        return entry, pair_distances(entry.lattice, entry.frac_coords, entry.numbers, entry.elements)

    def proposal(self, family: Family, question: Question, candidate: Candidate) -> Proposal:
        """The crystal of a candidate."""
        row = int(family.members[candidate.member])
        entry, shortest = self._entry(row)
        slots = np.array(question.elements)[family.exchanges[candidate.way]]
        numbers = np.repeat(slots, np.array(entry.counts) * entry.units)
        scale = exchange_scale(self._volumes, entry.numbers, numbers)
        closest, mean = strain(shortest * scale, slots, self._bonds)
        crystal = Crystal(lattice=entry.lattice * scale, frac_coords=entry.frac_coords, numbers=numbers)
        kept = np.repeat(slots == np.array(entry.elements), entry.counts).mean()
        packing = np.log(abs(np.linalg.det(entry.lattice)) / self._volumes[entry.numbers].sum())
        evidence = {
            "type": np.log(max(candidate.type_probability, 1e-12)), "nearest": candidate.nearest, "pull": candidate.pull,
            "votes": np.log(candidate.votes), "known": np.log(candidate.known), "closest": closest, "strain": mean,
            "kept": kept, "packing": float(np.clip(packing, -1, 1)), "orbits": np.log(sum(map(len, entry.letters))),
            "atoms": np.log(len(numbers)), "own": float(entry.elements == question.elements),
        }  # fmt: skip
        return Proposal(
            crystal, candidate.probability, template=entry.id, source=self._library.source(row), group=entry.group,
            units=entry.units, evidence={name: float(value) for name, value in evidence.items()},
        )  # fmt: skip
