"""Computed lines against pymatgen's XRDCalculator, and what physics promises."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.crystal import Crystal, lattice_from_parameters
from crystalfw.core.errors import DataError
from crystalfw.core.powder.lines import batch_lines, powder_lines
from crystalfw.core.powder.profile import Shape, profile
from crystalfw.core.powder.radiation import radiation

NACL = Crystal(
    lattice=2.82 * (np.ones((3, 3)) - np.eye(3)), frac_coords=np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), numbers=np.array([11, 17])
)


def low_symmetry(seed: int, atoms: int = 6) -> Crystal:
    rng = np.random.default_rng(seed)
    lattice = lattice_from_parameters(rng.uniform(4, 7, 3), rng.uniform(75, 110, 3))
    return Crystal(lattice=lattice, frac_coords=rng.random((atoms, 3)), numbers=rng.choice([3, 8, 14, 26, 82], atoms))


def grouped(angle, intensity, tolerance=1e-3):
    """Angles and summed intensities of lines closer than a tolerance."""
    starts = np.flatnonzero(np.diff(angle, prepend=-1) > tolerance)
    return angle[starts], np.add.reduceat(intensity, starts)


@pytest.mark.parametrize("crystal", [NACL, *(low_symmetry(seed) for seed in range(4))])
@pytest.mark.parametrize("name", ["CuKa", "MoKa"])
def test_agrees_with_pymatgen(crystal, name):
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    wavelength = radiation(name).mean
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = XRDCalculator(wavelength).get_pattern(crystal.structure, two_theta_range=(5, 60))
    ours = powder_lines(crystal, wavelength, (5, 60))
    our_x, our_y = grouped(ours.two_theta, ours.intensity)
    their_x, their_y = grouped(np.array(theirs.x), np.array(theirs.y))
    strong = their_y > 0.5
    near = np.abs(our_x[None] - their_x[strong, None]).argmin(1)
    np.testing.assert_allclose(our_x[near], their_x[strong], atol=1e-4)
    np.testing.assert_allclose(our_y[near] / our_y.max(), their_y[strong] / their_y.max(), rtol=0.01)
    # and no strong line that pymatgen lacks
    assert (np.abs(their_x[None] - our_x[our_y > 0.5][:, None]).min(1) < 1e-4).all()


@given(seed=st.integers(0, 1000), shift=st.lists(st.floats(-1, 1), min_size=3, max_size=3))
@settings(max_examples=15, deadline=None)
def test_origin_and_cell_do_not_matter(seed, shift):
    crystal = low_symmetry(seed)
    way = np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]])
    other = Crystal(
        lattice=way @ crystal.lattice, frac_coords=(crystal.frac_coords + shift) @ np.linalg.inv(way), numbers=crystal.numbers
    )
    first, second = (powder_lines(c, 1.54, (5, 50)) for c in (crystal, other))
    grid = np.arange(5, 50, 0.02)
    curves = [profile(lines, grid, radiation(1.54)) for lines in (first, second)]
    np.testing.assert_allclose(curves[0], curves[1], atol=1e-6 * curves[0].max())


def test_rock_salt_by_hand():
    lines = powder_lines(NACL, 1.54059, (20, 60))
    np.testing.assert_allclose(lines.d[:3], 5.64 / np.sqrt([3, 4, 8]), rtol=1e-9)
    assert lines.intensity.argmax() == 1  # 200; 111 is weak since sodium and chlorine scatter against each other


def test_displacement_weakens_large_angles():
    still, moving = powder_lines(NACL, 1.54), powder_lines(NACL, 1.54, b_iso=2.0)
    ratio = moving.intensity / still.intensity
    assert (np.diff(ratio) < 0).all()
    s2 = (np.sin(np.deg2rad(still.two_theta / 2)) / 1.54) ** 2
    expected = np.exp(-4.0 * s2)
    np.testing.assert_allclose(ratio / ratio[0], expected / expected[0], rtol=1e-9)


def test_batch_is_the_single_ones():
    crystals = [NACL, low_symmetry(1)]
    for one, crystal in zip(batch_lines(crystals, 1.54, (5, 60)), crystals, strict=True):
        np.testing.assert_array_equal(one.intensity, powder_lines(crystal, 1.54, (5, 60)).intensity)


def test_doublet_splits_and_keeps_the_area():
    lines = powder_lines(NACL, radiation("CuKa").mean, (5, 90))
    grid = np.arange(4, 91, 0.005)
    single = profile(lines, grid, radiation(radiation("CuKa").mean), Shape(width=0.05))
    double = profile(lines, grid, radiation("CuKa"), Shape(width=0.05))
    assert double.sum() == pytest.approx(single.sum(), rel=0.01)
    near = (grid > 83) & (grid < 85)
    peaks = (np.diff(np.sign(np.diff(double[near]))) < 0).sum()
    assert peaks == 2
    assert (np.diff(np.sign(np.diff(single[near]))) < 0).sum() == 1


def test_refuses_what_has_no_pattern():
    with pytest.raises(DataError, match="within 0 to 180"):
        powder_lines(NACL, 1.54, (90, 5))
    huge = Crystal(lattice=np.eye(3) * 400.0, frac_coords=np.zeros((1, 3)), numbers=np.array([1]))
    with pytest.raises(DataError, match="reflections; at most"):
        powder_lines(huge, 0.71)


@pytest.mark.parametrize(("name", "first"), [("CuKa", 1.54059292), ("CuKa1", 1.54059292), ("MoKa2", 0.713607), ("1.5", 1.5)])
def test_wavelengths(name, first):
    assert radiation(name).wavelengths[0] == first
    assert sum(radiation(name).weights) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "words"), [("CuKb", "neither a name nor a number"), ("CpKa", "CuKa"), ("20", "from 0.1 to 5")]
)
def test_wrong_wavelengths(name, words):
    with pytest.raises(DataError, match=words):
        radiation(name)
