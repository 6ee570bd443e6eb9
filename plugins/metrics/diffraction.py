"""How well the powder pattern of a sample agrees with that of the crystal it was made for: Rwp and R of the lines.

Rwp = sqrt(sum w (y - c)^2 / sum w y^2), w = 1 / (y + 0.01), of profiles from 5 to 90 degrees of Cu K-alpha 1 with lines of 0.2
degrees, largest value 1; R of the lines = sum |I - J| / sum I over bins of 0.2 degrees (R. A. Young, The Rietveld Method,
1993, ch. 1, with computed profiles on both sides). A sample without crystal counts as 1 in both means, as one that explains
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import CrystalfwError
from crystalfw.core.evaluate.per_sample import source_positions
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.powder.lines import powder_lines
from crystalfw.core.powder.profile import Shape, profile
from crystalfw.core.powder.radiation import radiation
from crystalfw.core.presentation import Figure
from crystalfw.core.recipe.schema import Bounds
from crystalfw.core.records import Sample
from crystalfw.plugins.metrics.shared.geometry import Packed, digest, pack, share

STEP = 0.05
LIMITS = (5.0, 90.0)


class DiffractionMetric(Metric):
    """Mean Rwp and R of lines over all samples with a reference; share of samples below a bound."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        width: Annotated[float, Bounds(0.02, 2)] = 0.2
        """Full width of the lines, degrees."""
        good: Annotated[float, Bounds(0.01, 1)] = 0.3
        """Rwp below which a sample's pattern counts as that of its reference."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Rwp and R of every sample that has a reference; counts of those that could not be compared."""
        bench = context.bench
        sources = source_positions(bench, samples, reference)
        named = [k for k in range(len(samples)) if sources[k] >= 0]

        def questions() -> Iterator[tuple[str, tuple[Packed, Packed, float]]]:
            for k in named:
                crystal = samples[k].crystal
                if crystal is not None:
                    other = reference[sources[k]]
                    key = f"powder-1:{self.config.width:g}:{digest(crystal, other)}"
                    yield key, (pack(crystal), pack(other), self.config.width)

        decoded = sum(samples[k].crystal is not None for k in named)
        answers = iter(bench.map("powder patterns", _compare, questions(), decoded))
        rwp, r_lines, broken = [], [], 0
        outcomes: dict[str, float] = {}
        for k in named:
            found = next(answers) if samples[k].crystal is not None else None
            broken += samples[k].crystal is not None and found is None
            values = found or [1.0, 1.0]
            rwp.append(values[0])
            r_lines.append(values[1])
            outcomes[samples[k].id] = values[0]
        below = int(sum(value < self.config.good for value in rwp))
        return {
            "asked": len(samples), "with_reference": len(named), "without_crystal": len(named) - decoded, "no_pattern": broken,
            "rwp": float(np.mean(rwp)) if rwp else None, "r_lines": float(np.mean(r_lines)) if rwp else None,
            "good": share(below, len(named)), "outcomes": {"rwp": outcomes},
            "summary": [f"Rwp below {self.config.good:g}: {below} of {len(named)} samples with a reference"],
            "protocol": {"radiation": "CuKa1", "two_theta": list(LIMITS), "width": self.config.width, "good": self.config.good,
                         "denominator": "samples with a reference; no crystal counts as 1"},
        }  # fmt: skip

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """Share of samples whose pattern is that of their reference, and the mean Rwp."""
        return [
            Figure.of_share("good", "same powder pattern", result["good"]),
            Figure("rwp", "mean Rwp of powder patterns", result["rwp"], better="lower"),
        ]


def _compare(item: tuple[Packed, Packed, float]) -> list[float] | None:
    curves = []
    grid = np.arange(*LIMITS, STEP)
    for lattice, frac_coords, numbers in item[:2]:
        try:
            crystal = Crystal(lattice=lattice, frac_coords=frac_coords, numbers=numbers)
            lines = powder_lines(crystal, radiation("CuKa1").mean, LIMITS)
        except CrystalfwError:
            return None
        curve = profile(lines, grid, radiation("CuKa1"), Shape(item[2]))
        if not curve.max() > 0:
            return None
        curves.append(curve / curve.max())
    ours, theirs = curves
    weight = 1 / (theirs + 0.01)
    rwp = np.sqrt((weight * (ours - theirs) ** 2).sum() / (weight * theirs**2).sum())
    each = round(0.2 / STEP)
    bins = [curve[: len(curve) // each * each].reshape(-1, each).sum(1) for curve in (ours, theirs)]
    return [float(rwp), float(np.abs(bins[0] - bins[1]).sum() / bins[1].sum())]
