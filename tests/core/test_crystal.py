"""Crystal: lattice parameters both ways, pymatgen and ASE both ways, and errors that name the site."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystalfw.core.crystal import Crystal, lattice_from_parameters, lattice_to_parameters
from crystalfw.core.errors import DataError

lengths = st.tuples(*[st.floats(1.0, 50.0)] * 3)
angles = st.tuples(*[st.floats(30.0, 150.0)] * 3)
SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@given(lengths, angles)
def test_lattice_parameters_round_trip(abc, angle):
    cos = np.cos(np.deg2rad(angle))
    assume(1 + 2 * cos.prod() - (cos**2).sum() > 1e-3)  # a cell with these angles exists, and is not flat
    found_lengths, found_angles = lattice_to_parameters(lattice_from_parameters(np.array(abc), np.array(angle)))
    np.testing.assert_allclose(found_lengths, abc, rtol=1e-13)
    np.testing.assert_allclose(found_angles, angle, rtol=1e-9)


def test_agrees_with_pymatgen():
    lattice = Lattice.from_parameters(3.1, 4.2, 7.3, 81.0, 97.0, 112.0)
    found_lengths, found_angles = lattice_to_parameters(lattice.matrix)
    np.testing.assert_allclose(found_lengths, lattice.abc, rtol=1e-12)
    np.testing.assert_allclose(found_angles, lattice.angles, rtol=1e-12)


def test_impossible_angles_are_an_error():
    with pytest.raises(DataError, match="no cell has"):
        lattice_from_parameters(np.ones(3), np.array([30.0, 30.0, 150.0]))


def test_structure_and_cif_round_trip():
    crystal = Crystal.from_structure(SALT, id="salt", properties={"band_gap": 8.5})
    assert crystal.formula == "NaCl"
    assert crystal.n_atoms == 8
    again = Crystal.from_cif(crystal.cif(), id="salt")
    assert SALT.matches(again.structure)
    assert crystal.volume == pytest.approx(5.64**3)


def test_atoms_round_trip():
    pytest.importorskip("ase")
    crystal = Crystal.from_structure(SALT)
    again = Crystal.from_atoms(crystal.atoms)
    np.testing.assert_allclose(again.cart_coords, crystal.cart_coords, atol=1e-12)


def test_partial_occupancy_names_the_site():
    disordered = Structure(Lattice.cubic(3.0), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]], labels=["M1"])
    with pytest.raises(DataError, match=r"partial occupancy on site M1 \(Fe 0.5, Ni 0.5\)"):
        Crystal.from_structure(disordered)


def test_wrong_shapes_are_an_error():
    with pytest.raises(DataError, match=r"lattice \(3, 3\)"):
        Crystal(lattice=np.eye(3), frac_coords=np.zeros((2, 3)), numbers=np.array([1]))


@pytest.mark.parametrize("text", ["", "not a cif", "data_x\n_cell_length_a 1\n"])
def test_broken_cif_is_a_data_error(text):
    with pytest.raises(DataError, match="broken CIF"):
        Crystal.from_cif(text)
