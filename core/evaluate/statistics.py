"""Means with intervals, paired differences, and verdicts that never claim more than the interval allows.

For runs with seeds there are two ways to a difference's interval, and the result says which:

- `bootstrap`, where both cells have per-sample outcomes: seeds are resampled, then samples within each seed, always the
  same samples for both cells (paired);
- `t`, where there is one figure per run: the paired t interval over seeds.

For two sets of samples without seeds (`difference_of_samples`) the questions are resampled where both answer the same ones
(`paired`), otherwise each set on its own (`independent`).

Verdicts are corrected for the number of comparisons of a measure (Bonferroni): with k other cells each is held to
1 - 0.05 / k. Printed intervals are 95 %, uncorrected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

LEVEL = 0.95
_REPLICATES = 4000
_FEWEST_SEEDS = 3


class Measured(Protocol):
    """What one run measured."""

    @property
    def cell(self) -> int:
        """What is compared."""
        ...

    @property
    def seed(self) -> int:
        """Runs of equal seed are compared with each other."""
        ...

    @property
    def figures(self) -> Mapping[str, float]:
        """Measure -> value."""
        ...

    @property
    def outcomes(self) -> Mapping[str, Mapping[str, float]]:
        """Measure -> sample or reference id -> value."""
        ...


@dataclass(frozen=True)
class Mean:
    """A cell's figure over seeds."""

    mean: float
    low: float | None
    """95 % t interval; None for a single seed."""
    high: float | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class Difference:
    """Cell minus baseline, paired."""

    cell: int
    measure: str
    mean: float
    low: float | None
    high: float | None
    strict_low: float | None
    """Interval corrected for the number of comparisons: what the verdict goes by."""
    strict_high: float | None
    seeds: int
    items: int
    method: str

    over: str = "seeds"
    """What the interval is over: `seeds`, or `samples` where each side is one set of samples."""


def mean_over_seeds(values: Sequence[float]) -> Mean:
    """Mean and t interval."""
    low, high = t_interval(values, LEVEL)
    return Mean(float(np.mean(values)), low, high, tuple(values))


def t_interval(values: Sequence[float], level: float) -> tuple[float | None, float | None]:
    """Interval of a mean; (None, None) below two values."""
    from scipy.stats import t

    if len(values) < 2:
        return None, None
    centre, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(t.ppf(0.5 + level / 2, len(values) - 1)) * error
    return centre - half, centre + half


def paired_bootstrap(differences: Sequence[np.ndarray], levels: Sequence[float], seed: int = 0) -> list[tuple[float, float]]:
    """Intervals of the mean difference; one array of per-sample differences per seed."""
    rng = np.random.default_rng(seed)
    means = np.zeros(_REPLICATES)
    for _ in differences:
        chosen = rng.integers(len(differences), size=_REPLICATES)
        for position, values in enumerate(differences):
            rows = np.flatnonzero(chosen == position)
            means[rows] += _resampled_means(values, len(rows), rng)
    means /= len(differences)
    return [_quantiles(means, level) for level in levels]


def compare(results: Sequence[Measured], baseline: int, measure: str) -> list[Difference]:
    """Every other cell against the baseline on one measure, over the seeds that both have."""
    by_cell: dict[int, dict[int, Measured]] = {}
    for result in results:
        if measure in result.figures:
            by_cell.setdefault(result.cell, {})[result.seed] = result
    base = by_cell.pop(baseline, {})
    others = {cell: found for cell, found in sorted(by_cell.items()) if set(found) & set(base)}
    strict = 1 - (1 - LEVEL) / max(len(others), 1)
    return [_difference(cell, found, base, measure, strict) for cell, found in others.items()]


def difference_of_samples(
    cell: int,
    measure: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    paired: bool,
    comparisons: int = 1,
    seed: int = 0,
) -> Difference:
    """Mean of `ours` minus mean of `theirs`, values per sample or reference; `paired` where equal places are one question.

    `comparisons` of the measure share the error that the verdict allows (Bonferroni). Intervals by bootstrap.
    """
    one, other = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    strict = 1 - (1 - LEVEL) / max(comparisons, 1)
    rng = np.random.default_rng(seed)
    if paired:
        (low, high), (strict_low, strict_high) = paired_bootstrap([one - other], (LEVEL, strict), seed)
    else:
        means = _resampled_means(one, _REPLICATES, rng) - _resampled_means(other, _REPLICATES, rng)
        (low, high), (strict_low, strict_high) = (_quantiles(means, level) for level in (LEVEL, strict))
    mean, items = float(one.mean() - other.mean()), min(len(one), len(other))
    method = "paired" if paired else "independent"
    return Difference(cell, measure, mean, low, high, strict_low, strict_high, 1, items, method, "samples")


def decision(difference: Difference, better: str) -> str:
    """`better`, `worse`, `not shown`, or `too few seeds`: what the corrected interval allows to be said."""
    few = difference.over == "seeds" and difference.seeds < _FEWEST_SEEDS
    if difference.strict_low is None or difference.strict_high is None or few:
        return "too few seeds"
    if difference.strict_low <= 0 <= difference.strict_high:
        return "not shown"
    return "better" if (difference.mean > 0) == (better == "higher") else "worse"


def verdict(difference: Difference, cell: str, baseline: str, better: str, name: str = "") -> str:
    """The comparison in words; `name` is what the measure is called in them."""
    name, seeds = name or difference.measure, f"{difference.seeds} seed{'s' if difference.seeds != 1 else ''}"
    if difference.over == "samples":
        seeds = f"{difference.items:,} {'questions' if difference.method == 'paired' else 'samples'}"
    observed, word = f"{difference.mean:+.4g}", decision(difference, better)
    if word == "too few seeds" or difference.strict_low is None or difference.strict_high is None:
        return f"{name}: {cell} differs from {baseline} by {observed} in {seeds}; too few seeds to say more."
    interval = f"corrected interval {difference.strict_low:+.4g} to {difference.strict_high:+.4g}, {seeds}"
    if word != "not shown":
        size = min(abs(difference.strict_low), abs(difference.strict_high))
        return f"{name}: {cell} is {word} than {baseline}, by at least {size:.3g} ({observed}; {interval})."
    largest = max(abs(difference.strict_low), abs(difference.strict_high))
    return (
        f"{name}: no difference shown between {cell} and {baseline} ({observed}; {interval}); "
        f"one of up to {largest:.3g} is not excluded."
    )


def _difference(
    cell: int, found: Mapping[int, Measured], base: Mapping[int, Measured], measure: str, strict: float
) -> Difference:
    seeds = sorted(set(found) & set(base))
    per_seed = [found[seed].figures[measure] - base[seed].figures[measure] for seed in seeds]
    arrays = [_per_sample(found[seed], base[seed], measure) for seed in seeds]
    items = min((len(array) for array in arrays), default=0)
    if items and len(seeds) > 1:
        (low, high), (strict_low, strict_high) = paired_bootstrap(arrays, (LEVEL, strict))
        mean = float(np.mean([array.mean() for array in arrays]))
        return Difference(cell, measure, mean, low, high, strict_low, strict_high, len(seeds), items, "bootstrap")
    mean = float(np.mean(per_seed))
    return Difference(cell, measure, mean, *t_interval(per_seed, LEVEL), *t_interval(per_seed, strict), len(seeds), 0, "t")


def _per_sample(one: Measured, other: Measured, measure: str) -> np.ndarray:
    ours, theirs = one.outcomes.get(measure, {}), other.outcomes.get(measure, {})
    common = sorted(set(ours) & set(theirs))
    return np.array([ours[key] - theirs[key] for key in common])


def _quantiles(means: np.ndarray, level: float) -> tuple[float, float]:
    return float(np.quantile(means, 0.5 - level / 2)), float(np.quantile(means, 0.5 + level / 2))


def _resampled_means(values: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Means of `count` resamples of the values, in blocks so that memory stays small."""
    means = np.empty(count)
    block = max(1, 2_000_000 // len(values))
    for start in range(0, count, block):
        size = min(block, count - start)
        means[start : start + size] = values[rng.integers(len(values), size=(size, len(values)))].mean(axis=1)
    return means
