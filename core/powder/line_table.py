"""Lines as an array of a crystal, `powder`: (LINES, 3) of d in angstrom, intensity (the strongest 1) and width in degrees.

The strongest lines come first; rows that are not there are NaN. The same array is made from a crystal, from a measured
pattern, and disturbed as a measurement is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import ConditionError

FloatArray = NDArray[np.float64]

ARRAY = "powder"
LINES = 48
WAVELENGTH = 1.54059292
"""Of the computed lines, Cu K-alpha 1; d does not depend on it, the last line does."""
LIMITS = (5.0, 90.0)
WIDTH = 0.1


def line_array(d: FloatArray, intensity: FloatArray, width: FloatArray) -> NDArray[np.float32]:
    """(LINES, 3) of the strongest lines."""
    order = np.argsort(-intensity, kind="stable")[:LINES]
    table = np.full((LINES, 3), np.nan, dtype=np.float32)
    if len(order):
        table[: len(order)] = np.stack([d[order], intensity[order] / intensity[order[0]], width[order]], 1)
    return table


def computed_lines(crystal: Crystal, *, merge: float = WIDTH) -> NDArray[np.float32]:
    """The lines of a crystal; those closer than `merge` degrees are one, as a measurement sees them."""
    from crystalfw.core.powder.lines import powder_lines  # compiled code, which commands without a pattern need not load

    lines = powder_lines(crystal, WAVELENGTH, LIMITS, b_iso=0.6, least=0.01)
    if not len(lines):
        return line_array(np.zeros(0), np.zeros(0), np.zeros(0))
    starts = np.flatnonzero(np.diff(lines.two_theta, prepend=-1e9) > merge)
    total = np.add.reduceat(lines.intensity, starts)
    angle = np.add.reduceat(lines.intensity * lines.two_theta, starts) / total
    d = WAVELENGTH / 2 / np.sin(np.deg2rad(angle / 2))
    return line_array(d, total, np.full(len(d), WIDTH))


def measured_lines(path: str | Path, wavelength: str | None = None) -> NDArray[np.float32]:
    """The peaks of a measured pattern. Raises DataError for an unreadable file, ConditionError for one without peaks."""
    from crystalfw.core.powder.peaks import find_peaks
    from crystalfw.core.powder.reading import read_pattern

    pattern = read_pattern(path, wavelength=wavelength)
    peaks = find_peaks(pattern)
    inside = (peaks.two_theta >= LIMITS[0]) & (peaks.two_theta <= LIMITS[1])
    if not inside.any():
        raise ConditionError(f"{path}: no peak rises above the noise; it cannot condition a model")
    d = pattern.radiation.wavelengths[0] / 2 / np.sin(np.deg2rad(peaks.two_theta[inside] / 2))
    return line_array(d, peaks.area[inside], peaks.width[inside])
