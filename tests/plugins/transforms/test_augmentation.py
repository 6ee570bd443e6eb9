from __future__ import annotations

import numpy as np
import pytest

from crystalfw.core.errors import PluginError, Reject
from crystalfw.plugins.transforms.filter import Filter
from crystalfw.plugins.transforms.perturb import Perturb
from crystalfw.plugins.transforms.random_rotation import RandomRotation, random_orthogonal


def test_rotations_are_orthogonal_and_uniform(rng):
    matrices = np.stack([random_orthogonal(rng, improper=False) for _ in range(4000)])
    np.testing.assert_allclose(matrices @ matrices.transpose(0, 2, 1), np.broadcast_to(np.eye(3), matrices.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0, atol=1e-12)
    # Haar measure: every entry has mean 0 and mean square 1/3; trace has mean square 1 (SO(3) characters)
    assert np.abs(matrices.mean(0)).max() < 0.05
    assert np.abs((matrices**2).mean(0) - 1 / 3).max() < 0.03
    assert abs((np.trace(matrices, axis1=1, axis2=2) ** 2).mean() - 1) < 0.1


def test_improper_half_of_the_time(rng):
    determinants = [np.linalg.det(random_orthogonal(rng, improper=True)) for _ in range(1000)]
    assert 0.4 < np.mean(np.array(determinants) < 0) < 0.6


def test_rotation_keeps_distances_and_fractions(low_symmetry, rng):
    turned = RandomRotation(RandomRotation.Config())(low_symmetry, rng)
    np.testing.assert_allclose(turned.lattice @ turned.lattice.T, low_symmetry.lattice @ low_symmetry.lattice.T, atol=1e-12)
    np.testing.assert_array_equal(turned.frac_coords, low_symmetry.frac_coords)
    assert not np.allclose(turned.lattice, low_symmetry.lattice)


def test_perturb_moves_by_the_given_amount(low_symmetry):
    perturb = Perturb(Perturb.Config(strain=0.0, displacement=0.1))
    moves = np.stack([
        perturb(low_symmetry, np.random.default_rng(k)).cart_coords - low_symmetry.cart_coords for k in range(500)
    ])  # fmt: skip
    assert moves.std() == pytest.approx(0.1, rel=0.05)
    strained = Perturb(Perturb.Config(strain=0.02, displacement=0.0))(low_symmetry, np.random.default_rng(0))
    np.testing.assert_allclose(strained.frac_coords, low_symmetry.frac_coords)
    deformation = np.linalg.inv(low_symmetry.lattice) @ strained.lattice
    np.testing.assert_allclose(deformation, deformation.T, atol=1e-12)


def test_perturb_is_the_same_for_the_same_stream(low_symmetry):
    perturb = Perturb(Perturb.Config())
    first, second = (perturb(low_symmetry, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.lattice, second.lattice)
    np.testing.assert_array_equal(first.frac_coords, second.frac_coords)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_atoms": 3}, "more than 3 atoms: 4"),
        ({"min_atoms": 5}, "fewer than 5 atoms: 4"),
        ({"max_elements": 2}, "more than 2 elements: 3"),
        ({"elements": ("Ti", "O")}, "element not wanted: Sr"),
        ({"exclude": ("O",)}, "element not wanted: O"),
        ({"min_distance": 4.0}, "atoms closer than 4 angstrom"),
        ({"max_length": 5.0}, "lattice vector longer than 5 angstrom"),
        ({"volume_per_atom": (1.0, 2.0)}, "volume per atom outside of 1-2"),
        ({"properties": {"band_gap": [0.1, 5]}}, "band_gap outside of 0.1-5: nan"),
    ],
)
def test_filter_says_why(low_symmetry, rng, options, reason):
    with pytest.raises(Reject, match=reason):
        Filter(Filter.Config(**options))(low_symmetry, rng)


def test_filter_passes_what_is_within(low_symmetry, rng):
    config = Filter.Config(max_atoms=4, elements=("Sr", "Ti", "O"), min_distance=0.5, volume_per_atom=(10.0, 60.0))
    assert Filter(config)(low_symmetry, rng) is low_symmetry


def test_filter_refuses_an_unknown_element():
    with pytest.raises(PluginError, match="'Xx' is not an element"):
        Filter(Filter.Config(elements=("Xx",)))
