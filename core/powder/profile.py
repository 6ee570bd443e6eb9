"""Profiles: lines broadened to a curve on a grid of angles, by pseudo-Voigt functions of unit area.

pV(x) = eta L(x) + (1 - eta) G(x) of one full width at half maximum H: Wertheim et al., Rev. Sci. Instrum. 45, 1369 (1974).
H^2 = w0^2 + (w1 tan theta)^2: instrument and microstrain. Angles and widths in degrees of two theta.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.powder.lines import Lines
from crystalfw.core.powder.radiation import Radiation
from crystalfw.core.system.compiled import njit

FloatArray = NDArray[np.float64]

REACH = 12.0
"""A line is drawn out to so many half widths; outside, its Lorentzian part holds 5 % x eta of the area."""


@dataclass(frozen=True)
class Shape:
    """How lines are broadened."""

    width: float = 0.1
    """Full width at half maximum at small angles, degrees."""
    strain: float = 0.0
    """Added in squares, times tan theta."""
    eta: float = 0.5
    """Share of the Lorentzian."""


def profile(lines: Lines, grid: FloatArray, radiation: Radiation, shape: Shape | None = None) -> FloatArray:
    """Intensity (X,) at ascending angles (X,) of lines computed with `radiation.mean`; a doublet is drawn as two lines."""
    shape = shape or Shape()
    out = np.zeros(len(grid))
    sine = np.sin(np.deg2rad(lines.two_theta / 2)) / lines.wavelength
    for wavelength, weight in zip(radiation.wavelengths, radiation.weights, strict=True):
        inside = sine * wavelength < 1
        angle = 2 * np.rad2deg(np.arcsin(sine[inside] * wavelength))
        width = np.hypot(shape.width, shape.strain * np.tan(np.deg2rad(angle / 2)))
        draw(np.asarray(grid), angle, weight * lines.intensity[inside], width, shape.eta, out)
    return out


@njit(cache=True)
def draw(grid: FloatArray, angle: FloatArray, area: FloatArray, width: FloatArray, eta: float, out: FloatArray) -> None:
    """Add lines (L,) of given areas and widths to `out` (X,)."""
    for line in range(len(angle)):
        half = width[line] / 2
        start = np.searchsorted(grid, angle[line] - REACH * half)
        lorentz, gauss = eta / (np.pi * half), (1 - eta) * np.sqrt(np.log(2.0) / np.pi) / half
        for x in range(start, len(grid)):
            u = (grid[x] - angle[line]) / half
            if u > REACH:
                break
            out[x] += area[line] * (lorentz / (1 + u * u) + gauss * np.exp(-np.log(2.0) * u * u))
