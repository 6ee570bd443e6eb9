"""Cost: CPU seconds for each sample, valid crystal and new crystal, where the table says what a sample took (`cpu_s`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Figure
from crystalfw.core.records import Sample
from crystalfw.plugins.metrics.shared.equality import find_equal
from crystalfw.plugins.metrics.shared.population import valid


class Cost(Metric):
    """CPU seconds for what came out."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        tolerance: str = "strict"
        """StructureMatcher tolerance of what is new."""
        oxidation_set: str = "smact14"
        """SMACT's oxidation states of what is valid."""
        time_limit: float = 20.0
        """Seconds per comparison."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Raises DataError where no sample says what it took."""
        seconds = np.array([np.nan if sample.cpu_s is None else sample.cpu_s for sample in samples], dtype=np.float64)
        if not np.isfinite(seconds).any():
            raise DataError("cost: the table has no column cpu_s with the CPU seconds of each sample")
        bench, known = context.bench, context.train or reference
        crystals = valid(bench, samples, self.config.oxidation_set)
        new = len(crystals)
        if len(known):
            new = int((find_equal(bench, crystals, known, self.config.tolerance, self.config.time_limit).same_as < 0).sum())
        total = float(np.nansum(seconds))
        return {
            "cpu_s": total,
            "per_sample": total / len(samples),
            "per_valid": total / len(crystals) if len(crystals) else None,
            "per_novel": total / new if new else None,
            "valid": len(crystals),
            "novel": new,
            "without_cpu_s": int(np.isnan(seconds).sum()),
            "summary": [f"CPU: {total:.3g} s, {total / new:.3g} s for each new valid crystal" if new else "no new crystal"],
            "protocol": {"denominator": "valid and new samples, repeats included", "cpu_s": "as the table says"},
        }

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """CPU seconds for each new crystal."""
        return [Figure("per_novel", "CPU for each new crystal", result["per_novel"], "s", "lower")]
