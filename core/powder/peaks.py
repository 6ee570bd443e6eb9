"""From a measured pattern to its lines: background, K-alpha 2, peaks.

- Background: SNIP, peak clipping on doubly logarithmic counts (C. Ryan et al., Nucl. Instrum. Methods B 34, 396 (1988)).
- K-alpha 2: from small to large angles, half of the K-alpha 1 intensity is taken away at the angle of K-alpha 2
  (W. A. Rachinger, J. Sci. Instrum. 25, 254 (1948)).
- Peaks: maxima of the smoothed net curve that rise above the noise; position from a parabola through the top, area and
  width from the points above half of the height.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.powder.pattern import Pattern
from crystalfw.core.powder.radiation import Radiation
from crystalfw.core.system.compiled import njit

FloatArray = NDArray[np.float64]

BACKGROUND_WINDOW = 1.5
"""Half of the widest feature, in degrees, that counts as a peak and not as background."""
SIGNIFICANT = 6.0
"""A peak rises above its surroundings by so many standard deviations of the noise."""


@dataclass(frozen=True, eq=False)
class Peaks:
    """P peaks by ascending angle, and the curves they were found in (X points)."""

    two_theta: FloatArray
    """(P,) degrees, of K-alpha 1 where K-alpha 2 was removed."""
    height: FloatArray
    area: FloatArray
    """(P,) counts x degrees."""
    width: FloatArray
    """(P,) full width at half maximum, degrees."""
    net: FloatArray
    """(X,) without background and K-alpha 2."""
    background: FloatArray
    """(X,)."""
    noise: float
    """Standard deviation of the noise where there is no peak, counts."""

    def __len__(self) -> int:
        return len(self.two_theta)


def background(pattern: Pattern, window: float = BACKGROUND_WINDOW) -> FloatArray:
    """(X,) SNIP background of a pattern."""
    step = float(np.median(np.diff(pattern.two_theta)))
    reach = max(2, min(round(window / step), len(pattern.two_theta) // 4))
    smooth = _smoothed(pattern.intensity, max(1, round(0.05 / step)))
    value = np.log(np.log(np.sqrt(smooth + 1) + 1) + 1)
    _clip(value, reach)
    return np.asarray((np.exp(np.exp(value) - 1) - 1) ** 2 - 1)


def noise_level(intensity: FloatArray) -> float:
    """Standard deviation of the noise of the quiet half of the points, from differences of neighbours."""
    second = intensity[1:-1] - (intensity[:-2] + intensity[2:]) / 2
    quiet = intensity[1:-1] <= np.median(intensity)
    spread = np.median(np.abs(second[quiet])) if quiet.any() else 0.0
    return float(spread * 1.4826 / np.sqrt(1.5))


def strip_second(two_theta: FloatArray, net: FloatArray, radiation: Radiation) -> FloatArray:
    """Net intensities (X,) without K-alpha 2; unchanged where the radiation is no doublet."""
    if len(radiation.wavelengths) < 2:
        return net
    ratio = radiation.weights[1] / radiation.weights[0]
    # the K-alpha 1 angle whose planes put their K-alpha 2 line at each point
    sine = np.sin(np.deg2rad(two_theta / 2)) * radiation.wavelengths[0] / radiation.wavelengths[1]
    return _rachinger(two_theta, net, 2 * np.rad2deg(np.arcsin(sine)), ratio)


def find_peaks(pattern: Pattern, *, significant: float = SIGNIFICANT) -> Peaks:
    """The peaks of a pattern; none where nothing rises above the noise."""
    from scipy.signal import find_peaks as maxima
    from scipy.signal import peak_widths

    x, below = pattern.two_theta, background(pattern)
    noise = max(noise_level(pattern.intensity), 1e-4 * float(np.ptp(pattern.intensity)))
    net = strip_second(x, np.maximum(pattern.intensity - below, 0), pattern.radiation)
    step = float(np.median(np.diff(x)))
    reach = max(1, round(0.03 / step))
    smooth = _smoothed(net, reach)
    # counting noise grows with the counts below the peak; smoothing averages 2 reach + 1 points
    spread = noise * np.sqrt(np.maximum(below, 1e-9) / max(float(np.median(below)), 1e-9)).clip(1, 30) / np.sqrt(2 * reach + 1)
    places, _ = maxima(smooth, prominence=significant * spread, height=significant * spread)
    half = peak_widths(smooth, places, rel_height=0.5)
    width = np.maximum(half[0] * step, step)
    top = _vertex(x, smooth, places)
    area = np.array([net[int(a) : int(b) + 1].sum() * step for a, b in zip(half[2], np.ceil(half[3]), strict=True)])
    return Peaks(top, smooth[places], area / 0.72, width, net, below, noise)


def _vertex(x: FloatArray, y: FloatArray, places: NDArray[np.int64]) -> FloatArray:
    """(P,) angle of the vertex of the parabola through each maximum and its neighbours."""
    left, middle, right = y[places - 1], y[places], y[np.minimum(places + 1, len(y) - 1)]
    curve = left - 2 * middle + right
    shift = np.where(np.abs(curve) > 1e-12, (left - right) / (2 * np.where(curve == 0, 1, curve)), 0).clip(-0.5, 0.5)
    return np.asarray(x[places] + shift * (x[np.minimum(places + 1, len(x) - 1)] - x[places]))


def _smoothed(y: FloatArray, reach: int) -> FloatArray:
    """Running mean over 2 reach + 1 points."""
    padded = np.pad(y, reach, mode="edge")
    return np.asarray(np.convolve(padded, np.full(2 * reach + 1, 1 / (2 * reach + 1)), mode="valid"))


@njit(cache=True)
def _clip(value: FloatArray, reach: int) -> None:
    """SNIP with a shrinking window, in place."""
    n = len(value)
    other = value.copy()
    for window in range(reach, 0, -1):
        for i in range(n):
            mean = (value[max(i - window, 0)] + value[min(i + window, n - 1)]) / 2
            other[i] = min(value[i], mean)
        value[:] = other


@njit(cache=True)
def _rachinger(x: FloatArray, net: FloatArray, first: FloatArray, ratio: float) -> FloatArray:
    """Points in ascending order; what stands at first[i] is K-alpha 1 alone already."""
    out = net.copy()
    for i in range(len(x)):
        place = np.searchsorted(x, first[i])
        if place < 1 or place > i:
            continue
        share = (first[i] - x[place - 1]) / (x[place] - x[place - 1])
        source = out[place - 1] * (1 - share) + (out[place] if place < i else out[place - 1]) * share
        # the same intensity is spread over a wider step at the angle of K-alpha 2
        out[i] = max(net[i] - ratio * source, 0.0)
    return out
