"""Kinematic powder lines: position and intensity of every line of a crystal.

I = multiplicity x |F|^2 x LP x exp(-2 B s^2), LP = (1 + cos^2 2theta) / (sin^2 theta cos theta): Lorentz and polarisation
factor of the Bragg-Brentano geometry without a monochromator (International Tables, vol. C, 6.2). Angles in degrees.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.powder.reflections import reflections
from crystalfw.core.system.compiled import njit

FloatArray = NDArray[np.float64]

SAME_LINE = 1e-5
"""Lines closer than this in two theta are one line, degrees."""


@dataclass(frozen=True, eq=False)
class Lines:
    """The lines of one crystal, by ascending angle."""

    two_theta: FloatArray
    """(L,) degrees."""
    intensity: FloatArray
    """(L,), the strongest is 100."""
    wavelength: float
    """Angstrom."""
    hkl: NDArray[np.int64]
    """(L, 3) one set of indices of each line, of the crystal's own cell."""

    def __len__(self) -> int:
        return len(self.two_theta)

    @property
    def d(self) -> FloatArray:
        """(L,) distances of the planes in angstrom."""
        return self.wavelength / 2 / np.sin(np.deg2rad(self.two_theta / 2))


def lorentz_polarisation(two_theta: FloatArray) -> FloatArray:
    """The factor LP of angles in degrees."""
    theta = np.deg2rad(np.asarray(two_theta) / 2)
    return np.asarray((1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta)))


def powder_lines(
    crystal: Crystal, wavelength: float, limits: tuple[float, float] = (0.0, 90.0), *, b_iso: float = 0.0, least: float = 0.0
) -> Lines:
    """The lines of a crystal between two angles in degrees (two theta).

    `b_iso`: displacement factor B of all atoms in square angstrom. `least`: lines below this intensity are left out.
    Raises DataError for limits that are no range within 0-180 degrees, or a crystal without a pattern.
    """
    low, high = limits
    if not 0 <= low < high <= 180:
        raise DataError(f"two theta from {low:g} to {high:g}: give a range within 0 to 180 degrees")
    q_min, q_max = ((2 * np.sin(np.deg2rad(x / 2)) / wavelength) ** 2 for x in limits)
    hkl, q, power = reflections(crystal, float(q_max), float(q_min))
    if b_iso:
        power = power * np.exp(-b_iso / 2 * q)
    order = np.argsort(q, kind="stable")
    two_theta = np.rad2deg(2 * np.arcsin(np.minimum(wavelength / 2 * np.sqrt(q[order]), 1.0)))
    first, total = _merged(two_theta, power[order])
    angle = two_theta[first]
    # at exactly 0 and 180 degrees the factor has no limit; no detector stands there
    inside = (angle > 1e-6) & (angle < 180 - 1e-3)
    intensity = total[inside] * lorentz_polarisation(angle[inside])
    top = intensity.max() if len(intensity) else 1.0
    intensity = 100 * intensity / (top or 1.0)
    keep = intensity >= least
    return Lines(angle[inside][keep], intensity[keep], wavelength, hkl[order][first][inside][keep])


def batch_lines(
    crystals: Iterable[Crystal], wavelength: float, limits: tuple[float, float] = (0.0, 90.0), **options: float
) -> list[Lines]:
    """The lines of many crystals, with the options of `powder_lines`; one after the other in compiled code."""
    return [powder_lines(crystal, wavelength, limits, **options) for crystal in crystals]


@njit(cache=True)
def _merged(two_theta: FloatArray, power: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """First member and summed power of each line; angles ascend."""
    first = np.empty(len(power), dtype=np.int64)
    total = np.empty(len(power))
    count = 0
    for r in range(len(power)):
        if count and two_theta[r] - two_theta[first[count - 1]] < SAME_LINE:
            total[count - 1] += power[r]
        else:
            first[count], total[count] = r, power[r]
            count += 1
    return first[:count], total[:count]
