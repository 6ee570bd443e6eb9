from __future__ import annotations

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def rock_salt() -> Crystal:
    """Primitive NaCl cell, 5.64 angstrom conventional."""
    lattice = 5.64 / 2 * (np.ones((3, 3)) - np.eye(3))
    return Crystal(lattice=lattice, frac_coords=np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), numbers=np.array([11, 17]), id="NaCl")


@pytest.fixture
def low_symmetry() -> Crystal:
    """A chiral, triclinic cell: nothing about it is special."""
    lattice = np.array([[4.1, 0.2, -0.3], [0.7, 5.2, 0.4], [-0.9, 1.1, 6.3]])
    frac = np.array([[0.11, 0.23, 0.37], [0.52, 0.71, 0.09], [0.83, 0.38, 0.66], [0.27, 0.9, 0.55]])
    return Crystal(lattice=lattice, frac_coords=frac, numbers=np.array([22, 8, 8, 38]))
