"""Which atoms are joined by a bond, under periodic boundaries, by a rule that can be stated in two sentences (RULE).

Shapes: N atoms of the cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.drawing.elements import electronegativity, radius

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

REACH, POLAR, LONGEST = 1.2, 0.7, 1.1
RULE = (
    f"Bonds join atoms up to {REACH:g} times the sum of their covalent radii (Cordero 2008). Between elements whose "
    f"electronegativities differ by less than {POLAR:g}, a bond is at most {LONGEST:g} times the shortest of either atom; "
    "two atoms that are both bound to something more electronegative than themselves are joined only if they are alike."
)
"""The rule in words, for the page."""
_OVERLAP = 0.3
"""Atoms nearer than this, in angstrom, are one place written twice and not a bond."""
_MOST_IMAGES = 6
"""Cells looked at in each direction; only a broken crystal, flatter than an atom, would need more."""


@dataclass(frozen=True)
class Bonds:
    """The bonds of a cell: from atom `first` of the cell to atom `second` of the cell moved by `shift`, in both directions."""

    first: IntArray
    """(B,)"""
    second: IntArray
    """(B,)"""
    shift: IntArray
    """(B, 3) whole lattice vectors."""
    cation: NDArray[np.bool_]
    """(N,) bound to an element that is more electronegative by POLAR or more."""
    to_anion: NDArray[np.bool_]
    """(B,) does the bond lead from a cation to such an element?"""

    @cached_property
    def partners(self) -> list[list[tuple[int, tuple[int, int, int], bool]]]:
        """For each atom of the cell its partners: (atom, shift, is it the anion of this bond?)."""
        found: list[list[tuple[int, tuple[int, int, int], bool]]] = [[] for _ in self.cation]
        columns = (self.first.tolist(), self.second.tolist(), self.shift.tolist(), self.to_anion.tolist())
        for first, second, (a, b, c), anion in zip(*columns, strict=True):
            found[first].append((second, (a, b, c), anion))
        return found


def bonds(lattice: FloatArray, frac_coords: FloatArray, numbers: IntArray) -> Bonds:
    """The bonds of a cell by RULE: lattice rows (3, 3), fractional positions (N, 3) in [0, 1), atomic numbers (N,)."""
    radii = np.array([radius(number) for number in numbers.tolist()])
    negativity = np.array([electronegativity(number) for number in numbers.tolist()])
    first, second, shift, distance = _near(lattice, frac_coords, radii)
    step = negativity[second] - negativity[first]
    shortest = np.full(len(numbers), np.inf)
    np.minimum.at(shortest, first, distance)
    polar = np.abs(step) >= POLAR - 1e-9
    bound_up = np.zeros(len(numbers), dtype=bool)
    bound_up[first[polar & (step > 0)]] = True
    alike = ~polar & (distance <= LONGEST * np.maximum(shortest[first], shortest[second]))
    # caesium and molybdenum differ as much as caesium and oxygen do, yet between two cations of an oxide there is no bond
    kept = alike | (polar & ~(bound_up[first] & bound_up[second]))
    to_anion = (polar & (step > 0))[kept]
    cation = np.zeros(len(numbers), dtype=bool)
    cation[first[kept][to_anion]] = True
    return Bonds(first[kept], second[kept], shift[kept], cation, to_anion)


def _near(lattice: FloatArray, frac_coords: FloatArray, radii: FloatArray) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Pairs within REACH: first atom, second atom, shift, distance."""
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    images = np.minimum(np.ceil(2 * REACH * radii.max() / heights) + 1, _MOST_IMAGES).astype(int)
    shifts = np.stack(np.meshgrid(*(np.arange(-k, k + 1) for k in images), indexing="ij"), axis=-1).reshape(-1, 3)
    moved, positions = shifts @ lattice, frac_coords @ lattice
    found = []
    for atom, position in enumerate(positions):
        distance = np.linalg.norm(positions[None] + moved[:, None] - position, axis=-1)
        which, other = np.nonzero((distance <= REACH * (radii + radii[atom])[None]) & (distance > _OVERLAP))
        found.append((np.full(len(which), atom), other, shifts[which], distance[which, other]))
    first, second, shift, length = (np.concatenate(column) for column in zip(*found, strict=True))
    return first, second, shift, length
