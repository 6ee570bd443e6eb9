"""A known crystal and its structure type: what stays of a crystal when its elements are forgotten.

A formula's elements stand in slots, ordered by their count and then by atomic number. The structure type is the space group,
the number of formula units in the primitive cell and, slot by slot, the Wyckoff letters of the occupied orbits: two crystals
of one type are the same arrangement with other elements, up to distances.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray, IntArray
from crystalfw.core.crystal_forms import SYMPREC, spglib_call
from crystalfw.core.errors import Reject


@dataclass(frozen=True, eq=False)
class Entry:
    """A known crystal in its primitive cell."""

    lattice: FloatArray
    """(3, 3) rows in angstrom."""
    frac_coords: FloatArray
    """(N, 3)."""
    numbers: IntArray
    """(N,) atomic numbers, slot after slot."""
    elements: tuple[int, ...]
    """Atomic number of each slot."""
    counts: tuple[int, ...]
    """Atoms of each slot in the reduced formula, ascending: the anonymous formula."""
    units: int
    """Formula units in the primitive cell."""
    group: int
    """Space-group number."""
    letters: tuple[str, ...]
    """Wyckoff letters of each slot's orbits, sorted."""
    id: str = ""
    source: int = 0
    """Position of its source in the library's list."""

    @property
    def key(self) -> str:
        """Equal for entries of one formula and one structure type."""
        return repr((self.elements, self.counts, self.units, self.group, self.letters))

    def crystal(self) -> Crystal:
        """The primitive cell as a Crystal."""
        return Crystal(lattice=self.lattice, frac_coords=self.frac_coords, numbers=self.numbers, id=self.id)


def slots_of(numbers: IntArray) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Elements and counts of the reduced formula in the order of slots, and the number of formula units."""
    found, counts = np.unique(numbers, return_counts=True)
    units = math.gcd(*(int(count) for count in counts))
    order = sorted((int(count) // units, int(number)) for number, count in zip(found, counts, strict=True))
    return tuple(number for _, number in order), tuple(count for count, _ in order), units


def describe(crystal: Crystal, symprec: float = SYMPREC) -> Entry:
    """The entry of a crystal; raises Reject where spglib finds no symmetry (not even translations)."""
    found = spglib_call("get_symmetry_dataset", crystal, symprec=symprec)
    primitive = spglib_call("standardize_cell", crystal, to_primitive=True, no_idealize=True, symprec=symprec)
    if found is None or primitive is None:
        raise Reject("no symmetry found: atoms too close, or a cell that spglib cannot reduce")
    lattice, frac_coords, numbers = (np.asarray(part) for part in primitive)
    elements, counts, units = slots_of(numbers)
    orbits = {int(o): (int(crystal.numbers[i]), found.wyckoffs[i]) for i, o in enumerate(found.crystallographic_orbits)}
    letters: dict[int, str] = defaultdict(str)
    for number, letter in sorted(orbits.values()):
        letters[number] += letter
    order = np.argsort([elements.index(int(number)) for number in numbers], kind="stable")
    return Entry(
        lattice=lattice, frac_coords=frac_coords[order], numbers=numbers[order].astype(np.int64), elements=elements,
        counts=counts, units=units, group=int(found.number), letters=tuple(letters[number] for number in elements),
        id=crystal.id,
    )  # fmt: skip
