"""The scene has the coordination, the polyhedra and the facts of textbook crystals."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import ConditionError
from crystalfw.core.serve import tasks
from crystalfw.core.serve.scene import scene


def cubic(group: str, a: float, species: list[str], sites: list[list[float]]) -> Crystal:
    return Crystal.from_structure(Structure.from_spacegroup(group, Lattice.cubic(a), species, sites))


NACL = cubic("Fm-3m", 5.64, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
PEROVSKITE = cubic("Pm-3m", 3.905, ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]])


def test_the_cations_of_the_cell_have_their_whole_coordination():
    drawn = scene(NACL)
    bonds = Counter(k for bond in drawn["bonds"] for k in bond)
    inside = [k for k, atom in enumerate(drawn["atoms"]) if not atom["outside"]]
    assert len(inside) == 27
    assert {bonds[k] for k in inside if drawn["atoms"][k]["element"] == "Na"} == {6}
    outside = {atom["element"] for atom in drawn["atoms"] if atom["outside"]}
    assert outside == {"Cl"}, "no copies of cations around the anions"
    lengths = [np.linalg.norm(place(drawn, i) - place(drawn, j)) for i, j in drawn["bonds"]]
    assert lengths == pytest.approx([2.82] * len(lengths), abs=1e-3)


def place(drawn, k):
    return np.array([drawn["atoms"][k][axis] for axis in "xyz"])


def test_polyhedra_surround_cations():
    drawn = scene(PEROVSKITE)
    around = {drawn["atoms"][shape["centre"]]["element"]: len({k for face in shape["faces"] for k in face})
              for shape in drawn["polyhedra"]}  # fmt: skip
    assert around["Ti"] == 6
    assert "O" not in around


def test_facts():
    facts = scene(PEROVSKITE)["facts"]
    assert facts["space_group"] == "Pm-3m (221)"
    assert facts["lengths"] == [3.905] * 3
    assert facts["formula"] == "SrTiO3"


def test_a_supercell_has_its_atoms():
    cells = scene(PEROVSKITE, (2, 1, 1))
    assert sum(not atom["outside"] and atom["element"] == "Ti" for atom in cells["atoms"]) == 2


def test_too_many_atoms_are_refused():
    with pytest.raises(ConditionError, match="too many to draw"):
        scene(PEROVSKITE, (8, 8, 8))


def test_atoms_inside_come_first_then_neighbours():
    levels = [atom["outside"] for atom in scene(PEROVSKITE)["atoms"]]
    assert levels == sorted(levels)
    assert levels.count(0) == 15


@pytest.mark.parametrize("crystal", [NACL, PEROVSKITE], ids=["NaCl", "SrTiO3"])
def test_the_bond_of_a_piece_joins_two_atoms_of_the_picture(crystal):
    answer = tasks.encode(crystal.cif(), "plain", False)
    drawn = scene(Crystal.from_cif(answer["cif"]))
    places = np.array([place(drawn, k) for k in range(len(drawn["atoms"]))])
    bonds = [piece for piece in answer["pieces"] if piece["bond"]]
    assert bonds
    for piece in bonds:
        start, end = np.array(piece["bond"])
        assert np.linalg.norm(end - start) < 3.2, piece["text"]
        assert np.linalg.norm(places - start, axis=1).min() < 1e-2


def test_pieces_of_a_string_cover_it():
    answer = tasks.encode(NACL.cif(), "metric", True)
    assert " ".join(piece["text"] for piece in answer["pieces"]) == answer["string"]
    assert "Fm-3m (225)" in answer["pieces"][0]["says"]
    assert Crystal.from_cif(answer["cif"]).formula == "NaCl"


@pytest.mark.parametrize("string", ["", "Na", "Na Cl 0 1", "0 1 ooo", "Xx 0 0 oo+", "x" * 30_000])
def test_strings_that_are_none(string):
    with pytest.raises(ConditionError):
        tasks.decode(string)
