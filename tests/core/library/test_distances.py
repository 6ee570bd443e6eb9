"""Arrangements: the cell does not matter, the order of elements on the same sites does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.library.distances import DUPLICATE, alike, arrangement, differences, resemblances
from crystalfw.core.testing.crystals import rotated, rotation, supercell


def layers(order: str) -> Crystal:
    """Layers of Na and Cl on the sites of a simple cubic lattice."""
    numbers = np.array([{"N": 11, "C": 17}[letter] for letter in order])
    frac = np.array([[0, 0, k / len(order)] for k in range(len(order))])
    return Crystal(lattice=np.diag([3.0, 3.0, 3.0 * len(order)]), frac_coords=frac, numbers=numbers)


def shape(crystal: Crystal) -> np.ndarray:
    return arrangement(crystal.lattice, crystal.frac_coords, crystal.numbers, (11, 17))


def test_neither_cell_nor_volume_nor_rotation_matters():
    crystal = layers("NNCC")
    other = supercell(rotated(replace(crystal, lattice=1.3 * crystal.lattice), rotation(1)), (1, 2, 1))
    np.testing.assert_allclose(shape(other), shape(crystal), atol=1e-5)


def test_two_orders_of_the_same_sites_differ():
    """Without regard to the neighbour's element both have the distances of the simple cubic lattice."""
    assert differences(np.stack([shape(layers("NCNC")), shape(layers("NNCC"))]))[0, 1] > 4 * DUPLICATE


def test_resemblance_falls_from_one_and_is_unknown_without_shapes():
    values = alike(np.array([0.0, 0.1, 0.2, 0.5]))
    assert values[0] == pytest.approx(1)
    assert values[2] == pytest.approx(0.5, abs=0.01)
    assert np.all(np.diff(values) < 0)
    same, other = shape(layers("NCNC")), shape(layers("NNCC"))
    assert resemblances([same, other, same])[0, 2] == pytest.approx(1)
    assert resemblances([same, None]).tolist() == [[1, 0], [0, 1]]
    assert resemblances([]).shape == (0, 0)
