"""The compiled matcher gives what pymatgen's StructureMatcher gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.geometry.matcher import TOLERANCES, matcher
from crystalfw.plugins.metrics.shared.compiled_matcher import fits, fits_anonymous, rms_distance
from crystalfw.plugins.metrics.shared.geometry import Packed, unpack
from crystalfw.plugins.metrics.shared.matching import reduced


def pair(seed: int) -> tuple[Packed, Packed]:
    """A random crystal of up to three elements, and a displaced, strained copy of it with its atoms in another order."""
    rng = np.random.default_rng(seed)
    atoms = int(rng.integers(1, 9))
    lattice = np.diag(rng.uniform(3, 6, 3)) + rng.normal(0, 0.6, (3, 3))
    frac_coords, numbers = rng.uniform(size=(atoms, 3)), rng.choice([8, 11, 17], atoms)
    order, size = rng.permutation(atoms), rng.choice([0.01, 0.1, 0.4])
    moved = frac_coords + rng.normal(0, size, (atoms, 3)) @ np.linalg.inv(lattice)
    strained = 1.1 * lattice @ (np.eye(3) + rng.normal(0, 0.04, (3, 3)))
    return reduced((lattice, frac_coords, numbers)), reduced((strained, moved[order], numbers[order]))


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("tolerance", list(TOLERANCES))
def test_it_agrees_with_pymatgen(tolerance, seed):
    first, second = pair(seed)
    one, other = unpack(first), unpack(second)
    theirs = matcher(tolerance)
    assert fits(first, second, tolerance) == theirs.fit(one, other, skip_structure_reduction=True)
    expected, found = theirs.get_rms_dist(one, other), rms_distance(first, second, tolerance)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert found == pytest.approx(expected[0], abs=1e-5)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_exchanged_elements_agree_with_pymatgen(seed):
    first, (lattice, frac_coords, numbers) = pair(seed)
    second = lattice, frac_coords, np.array([{8: 16, 11: 8, 17: 12}[z] for z in numbers.tolist()])
    theirs = matcher("strict").fit_anonymous(unpack(first), unpack(second), skip_structure_reduction=True)
    assert fits_anonymous(first, second, "strict") == theirs


def test_other_amounts_do_not_match():
    cell, places = 4.0 * np.eye(3), np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])
    assert rms_distance((cell, places, np.array([11, 17])), (cell, places, np.array([11, 11])), "loose") is None
    assert not fits_anonymous((cell, places, np.array([11, 17])), (cell, places, np.array([11, 11])), "loose")
