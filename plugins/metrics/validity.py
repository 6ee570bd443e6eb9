"""Validity of generated crystals, structural and compositional, each alone over all samples, with the reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Figure, Section, Table, percent
from crystalfw.core.records import Sample
from crystalfw.plugins.metrics.shared.geometry import share
from crystalfw.plugins.metrics.shared.population import Judged, judge
from crystalfw.plugins.metrics.shared.rules import protocol


class Validity(Metric):
    """Structural and compositional validity, each alone over all samples, with the reasons of what is invalid."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        oxidation_set: str = "smact14"
        """SMACT's oxidation states: smact14 (what CDVAE's figures were made with), icsd16, icsd24 or wiki."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Shares of all samples, and of the reference by the same ruler."""
        oxidation_set = self.config.oxidation_set
        result = {"samples": _figures(judge(context.bench, samples, oxidation_set))}
        if len(reference):
            result["reference"] = _figures(judge(context.bench, reference, oxidation_set))
        return {**result, "protocol": protocol(oxidation_set)}

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """Valid in both ways."""
        return [Figure.of_share("samples.both", "valid in structure and composition", result["samples"]["both"])]

    @classmethod
    def sections(cls, result: Mapping[str, Any]) -> Sequence[Section]:
        """Each kind of validity, samples and reference by the same ruler, and the reasons."""
        sides = [side for side in ("samples", "reference") if side in result]
        rows = [
            [side, kind, result[side][kind]["count"], result[side][kind]["of"], percent(result[side][kind]["share"])]
            for side in sides
            for kind in ("structural", "compositional", "both")
        ]
        reasons = [[side, reason, n] for side in sides for reason, n in result[side]["reasons"].items()]
        parts = [
            Table(header=["", "validity", "crystals", "of", "share"], rows=rows),
            Table(title="Why crystals are invalid", header=["", "reason", "crystals"], rows=reasons, folded=True),
        ]
        lead = f"{result['protocol']['structural']}. {result['protocol']['compositional']}."
        return [Section(name="Validity", title="Validity", lead=lead, parts=parts if reasons else parts[:1])]


def _figures(judged: Judged) -> dict[str, Any]:
    total = len(judged.structural)
    problems = np.concatenate([judged.structural, judged.compositional])
    counts = np.bincount(problems[problems > 0], minlength=len(judged.reasons))
    return {
        "structural": share(int((judged.structural == 0).sum()), total),
        "compositional": share(int((judged.compositional == 0).sum()), total),
        "both": share(int(judged.valid.sum()), total),
        "reasons": {judged.reasons[k]: int(counts[k]) for k in np.argsort(-counts, kind="stable").tolist() if counts[k]},
    }
