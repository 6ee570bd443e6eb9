"""Symmetry of crystals, asked once for all metrics: space group, structure type, number of occupied Wyckoff positions.

A structure type is what stays of a crystal when its elements are forgotten: the counts of the reduced formula, the formula
units in the primitive cell, the space group, and the Wyckoff letters of the occupied orbits, up to the choice of origin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal, IntArray
from crystalfw.core.crystal_forms import symmetry_dataset
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.library.entry import slots_of
from crystalfw.core.library.wyckoff import canonical_letters
from crystalfw.core.system.sequences import Spool
from crystalfw.core.system.time_limit import TimeLimitExceeded, time_limit
from crystalfw.plugins.metrics.shared.geometry import Packed, digest, pack

SYMPREC = 0.1
"""Angstrom, as in the Materials Project's own space-group column."""
_SECONDS = 20.0


@dataclass(frozen=True)
class Types:
    """Of S crystals."""

    kind: NDArray[np.uint64]
    """(S,) a hash of the structure type; 0 where spglib finds no symmetry."""
    group: NDArray[np.int16]
    """(S,) space-group number; 0 where there is none."""
    orbits: NDArray[np.int16]
    """(S,) occupied Wyckoff positions; 0 where there is no symmetry."""


@dataclass(frozen=True)
class Symmetries:
    """Of S crystals, as spglib finds them at one precision."""

    group: NDArray[np.int16]
    """(S,) space-group number; 0 where there is none."""
    facts: Spool[Any]
    """(S,) group, atoms in the primitive cell, and (atomic number, Wyckoff letter) of each orbit, sorted; on disk."""


def symmetries(bench: Workbench, crystals: Sequence[Crystal], precision: float, label: str) -> Symmetries:
    """What spglib finds at `precision` angstrom: one search for each crystal, whichever metrics ask."""

    def compute() -> Symmetries:
        questions = ((f"spg-2:{precision:g}:{digest(crystal)}", (pack(crystal), precision)) for crystal in crystals)
        found = np.zeros(len(crystals), np.int16)

        def kept() -> Iterator[Any]:
            answers = bench.map(f"symmetry at {precision:g}: {label}", _symmetry, questions, len(crystals))
            for place, facts in enumerate(answers):
                found[place] = facts[0]
                yield facts

        facts = bench.spool(kept())  # reads all answers, which fills `found`
        return Symmetries(found, facts)

    return bench.once(f"symmetries {precision:g}", compute, crystals)


def types_of(bench: Workbench, crystals: Sequence[Crystal], label: str) -> Types:
    """Types of crystals."""
    return bench.once("structure types", lambda: _types_of(bench, crystals, label), crystals)


def _types_of(bench: Workbench, crystals: Sequence[Crystal], label: str) -> Types:
    found = symmetries(bench, crystals, SYMPREC, label)
    kinds, orbits = np.zeros(len(crystals), np.uint64), np.zeros(len(crystals), np.int16)
    for place, (group, atoms, occupied) in enumerate(found.facts):
        if group:
            name = repr(_type(crystals[place].numbers, group, atoms, occupied))
            kinds[place] = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") or 1
            orbits[place] = len(occupied)
    return Types(kinds, found.group, orbits)


def _type(numbers: IntArray, group: int, atoms: int, occupied: list[tuple[int, str]]) -> tuple[int, int, list[Any]]:
    """Formula units of the primitive cell, space group, and the counts of the formula with their orbits' letters."""
    elements, counts, units = slots_of(numbers)
    texts = tuple("".join(letter for number, letter in occupied if number == element) for element in elements)
    # elements of equal count have no order once they are forgotten
    slots = sorted(zip(counts, canonical_letters(group, texts), strict=True))
    return units * atoms // len(numbers), group, slots


def _symmetry(item: tuple[Packed, float]) -> list[Any]:
    (lattice, frac_coords, numbers), precision = item
    try:
        with time_limit(_SECONDS):
            found = symmetry_dataset(Crystal(lattice=lattice, frac_coords=frac_coords, numbers=numbers), precision)
    except TimeLimitExceeded:
        found = None
    if found is None:
        return [0, 0, []]
    orbits = {int(o): (int(numbers[i]), found.wyckoffs[i]) for i, o in enumerate(found.crystallographic_orbits)}
    return [int(found.number), len(np.unique(found.mapping_to_primitive)), sorted(orbits.values())]
