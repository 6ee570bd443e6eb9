"""Uniqueness and novelty of the decoded samples on their own, without the funnel's earlier stages, at both tolerances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.evaluate.per_sample import decoded
from crystalfw.core.geometry.matcher import TOLERANCES
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Figure, Section, Table, percent
from crystalfw.core.records import Sample
from crystalfw.plugins.metrics.shared.equality import find_equal, group_equal
from crystalfw.plugins.metrics.shared.geometry import share
from crystalfw.plugins.metrics.shared.matching import tolerance_record
from crystalfw.plugins.metrics.shared.population import compositions


class Novelty(Metric):
    """Shares of decoded samples that are unique, novel, both, and of a composition that is not known."""

    not_measured = frozenset(f"{tolerance}.comparisons" for tolerance in TOLERANCES)

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        key: bool = False
        """Let the representation's canonical key decide equality first; it never decides inequality."""
        time_limit: float = 20.0
        """Seconds per comparison; what runs out of time counts as different, and is counted."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Novel against `context.train`, or against the reference where no training crystals are known."""
        bench = context.bench
        crystals = decoded(bench, samples)
        known = context.train or reference
        result: dict[str, Any] = {tolerance: self._figures(crystals, known, tolerance, context) for tolerance in TOLERANCES}
        result["asked"] = len(samples)
        new = np.isin(compositions(bench, crystals), compositions(bench, known), invert=True)
        result["new_composition"] = share(int(new.sum()), len(crystals)) if len(known) else None
        strict = result["strict"]
        result["summary"] = [f"unique and novel (strict): {strict['unique_and_novel']['count']} of {len(crystals)} decoded"]
        result["protocol"] = {
            "denominator": "decoded samples",
            "tolerances": {name: tolerance_record(name) for name in TOLERANCES},
            "novel_against": "the training crystals" if context.train else "the reference crystals",
            "known": len(known),
        }
        return result

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """Unique and novel at the strict tolerance."""
        return [Figure.of_share("strict.unique_and_novel", "unique and novel of decoded", result["strict"]["unique_and_novel"])]

    @classmethod
    def sections(cls, result: Mapping[str, Any]) -> Sequence[Section]:
        """All shares at both tolerances."""
        rows = [
            [tolerance, words, item["count"], item["of"], percent(item["share"])]
            for tolerance in TOLERANCES
            for key, words in (("unique", "unique"), ("novel", "novel"), ("unique_and_novel", "unique and novel"))
            if (item := result[tolerance][key])
        ]
        if (new := result["new_composition"]) is not None:
            rows.append(["", "of a new composition", new["count"], new["of"], percent(new["share"])])
        protocol = result["protocol"]
        lead = f"Shares of the decoded samples, novel against {protocol['novel_against']} ({protocol['known']})."
        table = Table(header=["tolerance", "", "samples", "of", "share"], rows=rows)
        return [Section(name="Novelty", title="Uniqueness and novelty of decoded samples", lead=lead, parts=[table])]

    def _figures(
        self, crystals: Sequence[Crystal], known: Sequence[Crystal], tolerance: str, context: MetricContext
    ) -> dict[str, Any]:
        key = context.key if self.config.key else None
        groups = group_equal(context.bench, crystals, tolerance, self.config.time_limit, key)
        seen = find_equal(context.bench, crystals, known, tolerance, self.config.time_limit, key)
        total = len(crystals)
        unique, novel = groups.same_as == np.arange(total), seen.same_as < 0
        return {
            "unique": share(int(unique.sum()), total),
            "novel": share(int(novel.sum()), total),
            "unique_and_novel": share(int((unique & novel).sum()), total),
            "comparisons": {"unique": dict(groups.decided), "novel": dict(seen.decided)},
        }
