"""Bonds by the stated rule: coordination numbers of textbooks, whatever the origin of the cell."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystalfw.core.crystal import Crystal
from crystalfw.core.drawing.bonding import bonds
from crystalfw.core.drawing.elements import symbol

CUBE, HEX = Lattice.cubic, Lattice.hexagonal
_MO, _S = [1 / 3, 2 / 3, 0.25], [1 / 3, 2 / 3, 0.62]
TEXTBOOK = {
    "rock salt": (("Fm-3m", CUBE(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]), {"Na": 6, "Cl": 6}),
    "caesium chloride": (("Pm-3m", CUBE(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]), {"Cs": 8, "Cl": 8}),
    "perovskite": (
        ("Pm-3m", CUBE(3.905), ["Sr", "Ti", "O"], [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0]]), {"Sr": 12, "Ti": 6, "O": 6}
    ),
    "rutile": (("P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]), {"Ti": 6, "O": 3}),
    "fluorite": (("Fm-3m", CUBE(5.46), ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]]), {"Ca": 8, "F": 4}),
    "zinc blende": (("F-43m", CUBE(5.65), ["Ga", "As"], [[0, 0, 0], [0.25, 0.25, 0.25]]), {"Ga": 4, "As": 4}),
    "molybdenite": (("P6_3/mmc", HEX(3.16, 12.3), ["Mo", "S"], [_MO, _S]), {"Mo": 6, "S": 3}),
    "diamond": (("Fd-3m", CUBE(3.567), ["C"], [[0, 0, 0]]), {"C": 4}),
    "graphite": (("P6_3/mmc", HEX(2.46, 6.71), ["C", "C"], [[0, 0, 0.25], [1 / 3, 2 / 3, 0.25]]), {"C": 3}),
    "copper": (("Fm-3m", CUBE(3.61), ["Cu"], [[0, 0, 0]]), {"Cu": 12}),
    "iron": (("Im-3m", CUBE(2.87), ["Fe"], [[0, 0, 0]]), {"Fe": 8}),
}  # fmt: skip


@cache
def textbook(name, *, primitive=False):
    structure = Structure.from_spacegroup(*TEXTBOOK[name][0])
    return Crystal.from_structure(structure.get_primitive_structure() if primitive else structure)


def coordination(crystal):
    """Symbol -> the coordination numbers that its atoms have."""
    frac = crystal.frac_coords - np.floor(crystal.frac_coords)
    found = bonds(crystal.lattice, frac, crystal.numbers)
    counts = Counter(found.first.tolist())
    numbers: dict[str, set[int]] = {}
    for atom, number in enumerate(crystal.numbers.tolist()):
        numbers.setdefault(symbol(number), set()).add(counts[atom])
    return numbers


@pytest.mark.parametrize("name", TEXTBOOK)
@pytest.mark.parametrize("primitive", [False, True])
def test_coordination_numbers_of_textbooks(name, primitive):
    wanted = {symbol: {number} for symbol, number in TEXTBOOK[name][1].items()}
    assert coordination(textbook(name, primitive=primitive)) == wanted


@settings(deadline=None, max_examples=12)
@given(name=st.sampled_from(sorted(TEXTBOOK)), shift=st.tuples(*[st.floats(-2, 2)] * 3))
def test_the_origin_changes_no_bond(name, shift):
    crystal = textbook(name, primitive=True)
    moved = Crystal(lattice=crystal.lattice, frac_coords=crystal.frac_coords + np.array(shift), numbers=crystal.numbers)
    assert coordination(moved) == coordination(crystal)


def test_every_bond_is_known_from_both_ends():
    crystal = textbook("perovskite")
    found = bonds(crystal.lattice, crystal.frac_coords, crystal.numbers)
    there = {
        (i, j, *shift) for i, j, shift in zip(found.first.tolist(), found.second.tolist(), found.shift.tolist(), strict=True)
    }
    assert there == {(j, i, *(-v for v in shift)) for i, j, *shift in there}
    assert found.cation.tolist() == [site.specie.symbol != "O" for site in crystal.structure]
