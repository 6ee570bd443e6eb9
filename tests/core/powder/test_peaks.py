"""Peaks of a computed pattern with background, noise and K-alpha 2 are its lines."""

import numpy as np
import pytest

from crystalfw.core.powder.lines import powder_lines
from crystalfw.core.powder.pattern import checked
from crystalfw.core.powder.peaks import background, find_peaks, strip_second
from crystalfw.core.powder.profile import Shape, profile
from crystalfw.core.powder.radiation import radiation

from .test_lines import NACL

GRID = np.arange(10, 100, 0.02)
CU = radiation("CuKa")


def measured(seed=0, counts=5000.0, floor=80.0):
    lines = powder_lines(NACL, CU.mean, (10, 100))
    curve = profile(lines, GRID, CU, Shape(width=0.12))
    smooth = floor * (1 + np.exp(-GRID / 20))
    return np.random.default_rng(seed).poisson(counts * curve / curve.max() + smooth).astype(float), smooth, lines


def test_background_follows_the_smooth_part():
    y, smooth, _ = measured()
    found = background(checked(GRID, y, CU))
    assert np.abs(found / smooth - 1).mean() < 0.1


def test_peaks_are_the_lines():
    y, _, lines = measured()
    peaks = find_peaks(checked(GRID, y, CU))
    first = powder_lines(NACL, CU.wavelengths[0], (10, 100))
    strong = first.intensity > 2
    near = np.abs(peaks.two_theta[None] - first.two_theta[strong][:, None])
    assert (near.min(1) < 0.02).all()
    heights = peaks.area[near.argmin(1)]
    np.testing.assert_allclose(heights / heights.max(), first.intensity[strong] / 100, atol=0.05)
    assert len(peaks) <= len(lines) + 1


def test_second_wavelength_is_removed():
    lines = powder_lines(NACL, CU.mean, (10, 100))
    both, alone = (
        profile(lines, GRID, CU, Shape(width=0.06)),
        profile(powder_lines(NACL, CU.wavelengths[0], (10, 100)), GRID, CU.first, Shape(width=0.06)),
    )
    left = strip_second(GRID, both, CU)
    assert np.abs(left / left.max() - alone / alone.max()).max() < 0.06
    assert np.abs(both / both.max() - alone / alone.max()).max() > 0.2
    np.testing.assert_array_equal(strip_second(GRID, both, CU.first), both)


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_peaks(seed):
    y = np.random.default_rng(seed).poisson(100, len(GRID)).astype(float)
    assert len(find_peaks(checked(GRID, y, CU))) <= 3
