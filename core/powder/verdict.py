"""What a solution says in words: how sure it is, what is not explained, when nothing fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.powder.search import Answer, Solution
from crystalfw.core.powder.target import Target

FloatArray = NDArray[np.float64]

LEAST_PEAKS = 4
GOOD, POOR = 0.75, 0.5
"""Shares of the measured intensity explained by the best candidate: above, it fits; below, nothing does."""
REST = 0.15
"""Peaks higher than this share of the strongest that no line explains point to a second phase."""


@dataclass(frozen=True)
class Verdict:
    """The judgement of one solution."""

    word: str
    """`solved`, `doubtful`, `mixture`, `nothing fits` or `no pattern`."""
    sentences: tuple[str, ...]


def unexplained(target: Target, answer: Answer) -> FloatArray:
    """Angles (U,) of measured peaks whose curve reaches less than a third of their height."""
    peaks = target.peaks
    inside = peaks.two_theta <= target.grid[-1]
    height = np.interp(peaks.two_theta, target.grid, target.net)
    computed = _near_maximum(answer.fit.curve, target, peaks.two_theta)
    return np.asarray(peaks.two_theta[inside & (computed < height / 3) & (height > 4 * target.noise)])


def _near_maximum(curve: FloatArray, target: Target, angles: FloatArray) -> FloatArray:
    """Largest value of a curve within one width of each angle."""
    step = target.grid[1] - target.grid[0]
    reach = max(1, round(target.width / step))
    place = np.clip(np.rint((angles - target.grid[0]) / step).astype(int), 0, len(curve) - 1)
    window = np.clip(place[:, None] + np.arange(-reach, reach + 1), 0, len(curve) - 1)
    return np.asarray(curve[window].max(1)) if len(angles) else np.zeros(0)


def judge(solution: Solution) -> Verdict:
    """How far the best candidate can be trusted."""
    target = solution.target
    if len(target.peaks) < LEAST_PEAKS:
        return Verdict("no pattern", (f"{len(target.peaks)} peaks rise above the noise: too few to tell crystals apart.",))
    if not solution.answers:
        return Verdict("nothing fits", ("No candidate: no known structure type has this composition.",))
    best = solution.answers[0]
    left = unexplained(target, best)
    height = np.interp(left, target.grid, target.net)
    strong = left[height > REST]
    share = f"{100 * best.explained:.0f} % of the measured intensity"
    if best.explained < POOR:
        doubts = "Is the wavelength right (--wavelength), the composition, is it one phase?"
        return Verdict("nothing fits", (f"The best candidate explains {share}: nothing fits. {doubts}",))
    if len(strong) >= 2 and best.explained < 0.95:
        angles = ", ".join(f"{angle:.2f}" for angle in strong[:5])
        doubts = f"strong peaks at {angles} degrees are not: a second phase, a larger cell, or another structure."
        return Verdict("mixture", (f"The best candidate explains {share}, but {doubts}",))
    sure = f"The best candidate explains {share} and is {100 * best.probability:.0f} % sure"
    if best.explained >= GOOD and best.probability >= 0.5:
        return Verdict("solved", (f"{sure}.",))
    if best.probability >= 0.5:
        return Verdict("doubtful", (f"The best candidate explains {share}, more than the others but too little to trust it.",))
    return Verdict("doubtful", (f"{sure}: look at the next ones too.",))
