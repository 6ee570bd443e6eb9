"""A measured powder pattern: intensities over ascending angles, checked.

Units of the first column: `2theta` (degrees), `q` = 4 pi sin(theta) / wavelength (1/angstrom), `d` (angstrom).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import DataError
from crystalfw.core.powder.radiation import Radiation

FloatArray = NDArray[np.float64]

UNITS = ("2theta", "q", "d")
LEAST_POINTS = 50
LEAST_RANGE = 5.0
"""Degrees; a shorter pattern holds too few lines."""
LEAST_END = 15.0
"""A pattern that ends below this angle is taken for one in q or d by mistake."""
UNEVEN, LEAST_START = 5.0, 3.0
"""Steps that shrink so many times towards small values, below so many degrees, are those of d over equal steps of angle."""
NEGATIVE = 0.02
"""Negative intensities down to this share of the largest are the noise of a subtracted background."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """Two theta in degrees, strictly ascending, and intensities of at least zero; X points."""

    two_theta: FloatArray
    intensity: FloatArray
    radiation: Radiation
    name: str = ""
    notes: tuple[str, ...] = ()
    """What was changed while reading, as sentences."""


def checked(x: FloatArray, y: FloatArray, radiation: Radiation, *, unit: str = "2theta", name: str = "") -> Pattern:
    """The pattern of two columns. Raises DataError with the place and the remedy where they are none."""
    where, notes = name or "the pattern", []
    if len(x) < LEAST_POINTS:
        raise DataError(f"{where}: {len(x)} points; a pattern needs at least {LEAST_POINTS}")
    bad = ~(np.isfinite(x) & np.isfinite(y))
    if bad.any():
        raise DataError(f"{where}: point {int(bad.argmax()) + 1} is no number")
    step = np.diff(x)
    if (step < 0).all():
        x, y = x[::-1], y[::-1]
        notes.append("the first column descends; the points were reversed" if unit != "d" else "")
    elif (step <= 0).any():
        raise DataError(
            f"{where}: the first column is not monotonic at point {int((step <= 0).argmax()) + 2}; is it two scans in one "
            "file, or are the columns exchanged?"
        )
    y = _not_negative(y, where, notes)
    x, y = _degrees(x, y, radiation, unit, where)
    beyond = x <= 0
    if beyond.any():
        notes.append(f"{int(beyond.sum())} points at zero or negative angles were left out")
        x, y = x[~beyond], y[~beyond]
    if len(x) < LEAST_POINTS or x[-1] - x[0] < LEAST_RANGE:
        raise DataError(f"{where}: {len(x)} points over {np.ptp(x) if len(x) else 0:.3g} degrees; too short for a pattern")
    if unit == "2theta" and (x[-1] < LEAST_END or _as_d(x)):
        raise DataError(
            f"{where}: two theta from {x[0]:.4g} to {x[-1]:.4g} degrees in steps from {np.diff(x).min():.2g} to "
            f"{np.diff(x).max():.2g}; if the first column is q or d, say --unit q or --unit d"
        )
    if y.max() <= 0 or np.ptp(y) == 0:
        raise DataError(f"{where}: all intensities are {y.max():g}")
    return Pattern(np.ascontiguousarray(x), np.ascontiguousarray(y), radiation, name, tuple(note for note in notes if note))


def _as_d(x: FloatArray) -> bool:
    """Whether ascending values have the steps of d: a quarter of the points near the end spans far more than one at the
    start."""
    quarter = len(x) // 4
    low, high = x[quarter] - x[0], x[-1] - x[-1 - quarter]
    return bool(x[0] < LEAST_START and high > UNEVEN * low)


def _not_negative(y: FloatArray, where: str, notes: list[str]) -> FloatArray:
    if y.min() < -NEGATIVE * max(y.max(), 0):
        raise DataError(
            f"{where}: negative intensity {y.min():g} at point {int(y.argmin()) + 1}; give measured counts, or set what a "
            "subtraction left below zero to zero"
        )
    if y.min() < 0:
        notes.append(f"{int((y < 0).sum())} slightly negative intensities were set to zero")
    return np.maximum(y, 0)


def _degrees(x: FloatArray, y: FloatArray, radiation: Radiation, unit: str, where: str) -> tuple[FloatArray, FloatArray]:
    """Angles in degrees, ascending, with their intensities."""
    if unit == "2theta":
        if x[-1] > 180:
            raise DataError(f"{where}: two theta of {x[-1]:g}; angles end at 180 degrees")
        return x, y
    if unit not in UNITS:
        raise DataError(f"unit '{unit}'; there are {', '.join(UNITS)}")
    if x[0] <= 0:
        raise DataError(f"{where}: {unit} of {x[0]:g}; it must be positive")
    sine = x * radiation.mean / (4 * np.pi) if unit == "q" else radiation.mean / (2 * x)
    if sine.max() > 1:
        raise DataError(
            f"{where}: {unit} of {x[-1] if unit == 'q' else x[0]:g} cannot be measured with {radiation.mean:g} angstrom; "
            "say --wavelength, or another --unit"
        )
    angle = 2 * np.rad2deg(np.arcsin(sine))
    return (angle, y) if unit == "q" else (angle[::-1], y[::-1])
