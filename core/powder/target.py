"""A measured pattern made ready for the fit: background and noise estimated, one equidistant grid, a coarse one for scans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.powder.pattern import Pattern
from crystalfw.core.powder.peaks import Peaks, background, find_peaks

FloatArray = NDArray[np.float64]

STEP = 0.04
COARSE_STEP = 0.1
LAST = 75.0
"""Angles above, scaled to Cu K-alpha, are not used: lines overlap there, and weigh little."""
CU = 1.5406
NOISE = 2.0
"""Standard deviations of the noise that count as nothing: below, a net curve is mostly rectified noise."""


@dataclass(frozen=True, eq=False)
class Target:
    """A measured curve prepared for the fit. X points, C points of the coarse grid."""

    pattern: Pattern
    peaks: Peaks
    grid: FloatArray
    """(X,) equidistant two theta, degrees."""
    net: FloatArray
    """(X,) intensity without background; the strongest peak is 1."""
    scale: float
    """Counts of the strongest peak: net times scale is what was measured."""
    noise: float
    """Of the net curve."""
    width: float
    """Typical full width of its peaks, degrees."""
    coarse: FloatArray
    """(C,) grid of the scan."""

    @property
    def wavelengths(self) -> FloatArray:
        """Wavelengths in angstrom."""
        return np.array(self.pattern.radiation.wavelengths)

    @property
    def weights(self) -> FloatArray:
        """Their shares."""
        return np.array(self.pattern.radiation.weights)

    @property
    def q_max(self) -> float:
        """Largest 1/d^2 that the curve reaches."""
        return float((2 * np.sin(np.deg2rad(self.grid[-1] / 2)) / self.wavelengths.min()) ** 2)

    def stable(self, curve: FloatArray) -> FloatArray:
        """g(y) = sqrt(y + n) - sqrt(n) of a net curve."""
        return np.asarray(np.sqrt(np.maximum(curve, 0) + self.noise) - np.sqrt(self.noise))

    def smoothed(self, fwhm: float) -> FloatArray:
        """(C,) g of the net curve, smoothed by a Gaussian and sampled on the coarse grid, largest 1."""
        curve = np.convolve(self.net, gaussian(fwhm, STEP), mode="same")
        curve = np.interp(self.coarse, self.grid, curve)
        return self.stable(curve / (curve.max() or 1.0))


def gaussian(fwhm: float, step: float) -> FloatArray:
    """A Gaussian of sum one, an odd number of points."""
    sigma = fwhm / 2.3548 / step
    reach = max(1, int(np.ceil(3 * sigma)))
    values = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(values / values.sum())


def prepare(pattern: Pattern) -> Target:
    """The target of a pattern."""
    peaks = find_peaks(pattern)
    x = pattern.two_theta
    net = np.maximum(pattern.intensity - background(pattern), 0)
    last = min(x[-1], 2 * np.rad2deg(np.arcsin(min(1.0, np.sin(np.deg2rad(LAST / 2)) * pattern.radiation.mean / CU))))
    first = max(x[0], 2.0)
    grid = np.arange(first, last, STEP)
    curve = _rebinned(x, net, grid)
    curve = np.convolve(curve, gaussian(0.06, STEP), mode="same")
    top = float(curve.max()) or 1.0
    strong = peaks.height > 0.1 * peaks.height.max() if len(peaks) else np.zeros(0, dtype=bool)
    width = float(np.clip(np.median(peaks.width[strong]) if strong.any() else 0.1, 0.04, 1.0))
    noise = float(np.clip(NOISE * peaks.noise / top, 2e-3, 0.3))
    return Target(pattern, peaks, grid, curve / top, top, noise, width, np.arange(first, last, COARSE_STEP))


def _rebinned(x: FloatArray, y: FloatArray, grid: FloatArray) -> FloatArray:
    """Mean of the measured points around each point of the grid; interpolated where the measurement is coarser."""
    edges = np.concatenate([grid - STEP / 2, [grid[-1] + STEP / 2]])
    place = np.searchsorted(edges, x, side="right") - 1
    inside = (place >= 0) & (place < len(grid))
    count = np.bincount(place[inside], minlength=len(grid))
    total = np.bincount(place[inside], weights=y[inside], minlength=len(grid))
    return np.where(count > 0, total / np.maximum(count, 1), np.interp(grid, x, y))
