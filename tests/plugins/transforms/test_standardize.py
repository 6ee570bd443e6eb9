from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import PluginError, Reject
from crystalfw.plugins.transforms.normalize_positions import NormalizePositions
from crystalfw.plugins.transforms.standardize import Standardize, change_basis

RNG = np.random.default_rng(0)


def standardize(crystal: Crystal, **options: object) -> Crystal:
    return Standardize(Standardize.Config(**options))(crystal, RNG)


def signed_volume_of_four(crystal: Crystal) -> float:
    """Determinant of periodic vectors between the four different atoms nearest to atom 0: its sign is the hand."""
    structure = crystal.structure
    vectors = []
    for index in np.argsort(crystal.numbers, kind="stable")[1:]:
        first = int(np.argmin(crystal.numbers))
        _, image = structure[first].distance_and_image(structure[int(index)])
        vectors.append(
            structure.lattice.get_cartesian_coords(structure[int(index)].frac_coords + image - structure[first].frac_coords)
        )
    return float(np.linalg.det(np.array(vectors[:3])))


def unimodular(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = np.eye(3, dtype=np.int64)
    for _ in range(4):
        i, j = rng.choice(3, 2, replace=False)
        matrix[i] += rng.integers(-2, 3) * matrix[j]
    return matrix[rng.permutation(3)]


@pytest.mark.parametrize("cell", ["niggli", "minkowski"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_any_basis_gives_the_same_cell_in_the_same_place(cell, seed):
    lattice = np.array([[4.1, 0.2, -0.3], [0.7, 5.2, 0.4], [-0.9, 1.1, 6.3]])
    frac = np.array([[0.11, 0.23, 0.37], [0.52, 0.71, 0.09], [0.83, 0.38, 0.66], [0.27, 0.9, 0.55]])
    crystal = Crystal(lattice=lattice, frac_coords=frac, numbers=np.array([22, 8, 16, 38]))
    moved = change_basis(crystal, unimodular(seed))
    first, second = standardize(crystal, cell=cell), standardize(moved, cell=cell)
    assert sorted(np.linalg.norm(first.lattice, axis=1).round(9)) == sorted(np.linalg.norm(second.lattice, axis=1).round(9))
    assert np.linalg.det(second.lattice) > 0
    # the atoms stand where they stood: same Cartesian positions up to lattice vectors
    shift = (second.cart_coords - crystal.cart_coords) @ np.linalg.inv(crystal.lattice)
    np.testing.assert_allclose(shift, np.round(shift), atol=1e-9)


def test_supercell_becomes_primitive(rock_salt):
    structure = rock_salt.structure.copy()
    structure.make_supercell([[2, 0, 1], [0, 1, 0], [0, 0, 2]])
    done = standardize(Crystal.from_structure(structure))
    assert done.n_atoms == 2
    assert StructureMatcher().fit(done.structure, rock_salt.structure)
    assert done.volume == pytest.approx(rock_salt.volume, rel=1e-9)


def test_almost_centred_cell_is_kept(rock_salt):
    structure = rock_salt.structure.copy()
    structure.make_supercell([2, 1, 1])
    structure.translate_sites([0], [0.0, 0.03, 0.0])
    assert standardize(Crystal.from_structure(structure)).n_atoms == 4


def test_hand_is_kept(low_symmetry):
    chiral = replace(low_symmetry, numbers=np.array([22, 8, 16, 38]))
    left_handed_cell = change_basis(chiral, np.eye(3, dtype=np.int64))
    for crystal in (chiral, left_handed_cell):
        for cell in ("niggli", "minkowski"):
            assert np.sign(signed_volume_of_four(standardize(crystal, cell=cell))) == np.sign(signed_volume_of_four(chiral))


def test_niggli_cell_agrees_with_pymatgen(low_symmetry):
    expected = low_symmetry.structure.lattice.get_niggli_reduced_lattice()
    np.testing.assert_allclose(np.linalg.norm(standardize(low_symmetry).lattice, axis=1), expected.abc, atol=1e-6)


def test_flat_cell_is_set_aside(low_symmetry):
    flat = replace(low_symmetry, lattice=np.array([[4.0, 0, 0], [0, 4.0, 0], [4.0, 4.0, 0]]))
    with pytest.raises(Reject, match="flat cell"):
        standardize(flat)


def test_wrong_cell_name_names_the_choices():
    with pytest.raises(PluginError, match="niggli, minkowski or keep"):
        standardize(None, cell="nigli")  # type: ignore[arg-type]


def test_positions_are_wrapped_even_just_below_zero(low_symmetry, rng):
    crystal = replace(
        low_symmetry, frac_coords=np.array([[-1e-20, 1.0, 2.5], [-0.25, 0.0, 0.999], [3, -3, 0.5], [0.1, 0.2, 0.3]])
    )
    wrapped = NormalizePositions(NormalizePositions.Config())(crystal, rng).frac_coords
    assert (wrapped >= 0).all()
    assert (wrapped < 1).all()
    shift = wrapped - crystal.frac_coords
    np.testing.assert_allclose(shift, np.round(shift), atol=1e-12)
