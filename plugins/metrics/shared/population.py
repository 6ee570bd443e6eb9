"""What metrics ask of all samples at once, in a few bytes per sample: which are crystals, which are valid, their ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal, IntArray
from crystalfw.core.evaluate.per_sample import decoded
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.records import Sample
from crystalfw.core.system.sequences import Picked
from crystalfw.plugins.metrics.shared.geometry import digest, reduced_composition
from crystalfw.plugins.metrics.shared.rules import check_oxidation_set, compositional_problem, structural_problem

Population = Sequence[Sample] | Sequence[Crystal]
_NO_CRYSTAL = -1


@dataclass(frozen=True)
class Judged:
    """What validity says of S samples or crystals."""

    structural: NDArray[np.int16]
    """(S,) position in `reasons`; -1 where there is no crystal."""
    compositional: NDArray[np.int16]
    """(S,) likewise, whatever the structure."""
    reasons: list[str]
    """Why a crystal is invalid; the first is empty, for those that are valid."""

    @property
    def crystals(self) -> NDArray[np.bool_]:
        """(S,) is there a crystal?"""
        return self.structural != _NO_CRYSTAL

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(S,) is it valid in structure and in composition?"""
        return (self.structural == 0) & (self.compositional == 0)


def _crystals(population: Population) -> Iterator[Crystal | None]:
    return (item.crystal if isinstance(item, Sample) else item for item in population)


def judge(bench: Workbench, population: Population, oxidation_set: str) -> Judged:
    """Validity of every crystal, worked out once in an evaluation. Raises DataError for an unknown oxidation set."""
    check_oxidation_set(oxidation_set)
    return bench.once(f"validity {oxidation_set}", lambda: _judge(bench, population, oxidation_set), population)


def _judge(bench: Workbench, population: Population, oxidation_set: str) -> Judged:
    reasons = {"": 0}
    found = np.full((2, len(population)), _NO_CRYSTAL, dtype=np.int16)
    for index, crystal in enumerate(bench.track("validity", _crystals(population), len(population))):
        if crystal is not None:
            problems = structural_problem(crystal), compositional_problem(reduced_composition(crystal), oxidation_set)
            found[:, index] = [reasons.setdefault(problem, len(reasons)) for problem in problems]
    return Judged(found[0], found[1], list(reasons))


def valid(bench: Workbench, samples: Sequence[Sample], oxidation_set: str) -> Picked[Crystal]:
    """The decoded crystals that are valid in structure and in composition."""
    crystals, judged = decoded(bench, samples), judge(bench, samples, oxidation_set)
    return bench.once(f"valid {oxidation_set}", lambda: crystals.keep(judged.valid[crystals.positions]), samples)


def compositions(bench: Workbench, population: Population) -> NDArray[np.uint64]:
    """(S,) a hash of the reduced composition of each; 0 where there is no crystal.

    64 bits: among a million compositions two collide once in 37 million times, and then StructureMatcher compares two
    crystals that it would not have been asked about.
    """
    if isinstance(population, Picked):
        return compositions(bench, population.source)[population.positions]
    return bench.once("compositions", lambda: _compositions(bench, population), population)


def _compositions(bench: Workbench, population: Population) -> NDArray[np.uint64]:
    found = np.zeros(len(population), dtype=np.uint64)
    for index, crystal in enumerate(bench.track("compositions", _crystals(population), len(population))):
        if crystal is not None:
            content = repr(reduced_composition(crystal)).encode()
            found[index] = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") or 1
    return found


def contents(bench: Workbench, population: Population) -> IntArray:
    """(S,) equal numbers for crystals that are equal number by number."""

    def number() -> IntArray:
        digests = np.zeros(len(population), dtype="S40")
        for index, crystal in enumerate(_crystals(population)):
            digests[index] = b"" if crystal is None else digest(crystal).encode()
        return np.unique(digests, return_inverse=True)[1].astype(np.int64)

    return bench.once("contents", number, population)


class Groups:
    """Positions of equal codes, group by group, in the order of the codes; 16 bytes of memory per position."""

    def __init__(self, codes_S: NDArray[np.uint64]) -> None:
        self.order: IntArray = np.argsort(codes_S, kind="stable")
        self.codes, starts = np.unique(codes_S[self.order], return_index=True)
        self.bounds: IntArray = np.append(starts, len(codes_S))

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def sizes(self) -> IntArray:
        """Positions per group."""
        return np.diff(self.bounds)

    def __getitem__(self, group: int) -> IntArray:
        """Positions of one group, ascending."""
        return self.order[self.bounds[group] : self.bounds[group + 1]]

    def find(self, codes: NDArray[np.uint64]) -> IntArray:
        """The group of each code, -1 where there is none."""
        places = np.searchsorted(self.codes, codes).clip(max=max(len(self) - 1, 0))
        return np.where(self.codes[places] == codes, places, -1) if len(self) else np.full(len(codes), -1)
