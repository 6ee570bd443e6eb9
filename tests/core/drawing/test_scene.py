"""The scene and what stands below it: nothing of a cation's coordination is missing, whole polyhedra, facts in words."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.drawing.card import drawable, formula_words, hermann_mauguin, lattice_lines, notebook_picture
from crystalfw.core.drawing.scene import SIZE, hull_faces, scene
from tests.core.drawing.test_bonding import TEXTBOOK, textbook

CATIONS = {"rock salt": (11, 6), "caesium chloride": (55, 8), "rutile": (22, 6), "fluorite": (20, 8)}


@pytest.mark.parametrize("name", CATIONS)
def test_the_coordination_of_every_cation_is_whole(name):
    number, wanted = CATIONS[name]
    drawn = scene(textbook(name))
    ends = Counter(end for pair in drawn.bonds for end in pair)
    found = {ends[k] for k, ball in enumerate(drawn.balls) if ball[4] == number}
    assert found == {wanted}, "images on faces and ghosts included"
    assert any(ball[5] for ball in drawn.balls), "atoms outside of the cell are marked"


def test_without_cations_every_atom_of_the_cell_is_whole_once():
    drawn = scene(textbook("diamond"))
    ends = Counter(end for pair in drawn.bonds for end in pair)
    assert sum(ends[k] == 4 for k, ball in enumerate(drawn.balls) if not ball[5]) >= 8


@pytest.mark.parametrize("name", TEXTBOOK)
def test_the_first_view_fills_the_picture_and_is_not_cut(name):
    drawn = scene(textbook(name))
    reach = [max(abs(x), abs(y)) + r for x, y, _, r, *_ in drawn.balls] + [max(map(abs, c[:2])) for c in drawn.corners]
    assert 0.7 * SIZE / 2 < max(reach) <= SIZE / 2


def test_polyhedra():
    octahedron = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=float)
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    assert sorted(map(len, hull_faces(octahedron))) == [3] * 8
    assert sorted(map(len, hull_faces(cube))) == [4] * 6
    assert hull_faces(cube[:4]) == [], "a square has no inside"
    for face in hull_faces(cube):  # in order around the face: neighbours share an edge of the cube
        assert all(np.isclose(np.abs(cube[a] - cube[b]).sum(), 1) for a, b in zip(face, [*face[1:], face[0]], strict=True))
    # eight octahedra around the corners of the cell; a strontium atom has twelve neighbours, too many to show
    faces = scene(textbook("perovskite")).faces
    assert Counter(face[0] for face in faces) == {22: 64}


def test_facts_in_words():
    assert lattice_lines(textbook("rock salt")) == ("a = b = c = 5.64 Å", "α = β = γ = 90.0°")
    assert lattice_lines(textbook("graphite")) == ("a = b = 2.46 Å, c = 6.71 Å", "α = β = 90.0°, γ = 120.0°")
    assert '<span class="bar">3</span>m' in hermann_mauguin("Fm-3m")
    assert "P6<sub>3</sub>/mmc" in hermann_mauguin("P6_3/mmc")
    assert formula_words("Na2SO4") == "Na<sub>2</sub>SO<sub>4</sub>"
    assert formula_words("<b>") == "&lt;b&gt;"


def test_a_notebook_shows_the_facts_and_survives_a_crystal_without_geometry():
    shown = textbook("rock salt")._repr_html_()
    lengths = "a = b = c = 5.64 Å".replace(" ", "\u00a0")
    for part in ('class="crystal"', "(225), to 0.1 Å", lengths, '<text class="a"', "Na</span>"):
        assert part in shown
    broken = Crystal(lattice=np.full((3, 3), np.nan), frac_coords=np.full((1, 3), np.nan), numbers=np.array([11]))
    assert not drawable(broken)
    assert "<svg" not in notebook_picture(broken)


def test_a_cell_flatter_than_an_atom_is_drawn_without_end():
    flat = Crystal(lattice=np.diag([5.0, 5.0, 0.4]), frac_coords=np.zeros((1, 3)), numbers=np.array([55]))
    assert len(scene(flat).balls) < 5000
