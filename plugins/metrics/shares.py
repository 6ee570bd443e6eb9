"""Chained shares: parsed -> valid graph -> decoded -> structurally valid -> compositionally valid -> unique -> novel.

One denominator, all samples requested; a sample counts at a stage only if it passed every stage before. A failure is
counted with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.evaluate.per_sample import PerSample, decoded, ids
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Bars, Example, Examples, Figure, Section, Table, percent, short
from crystalfw.core.records import Sample
from crystalfw.core.system.sequences import Picked
from crystalfw.plugins.metrics.shared.equality import find_equal, group_equal
from crystalfw.plugins.metrics.shared.geometry import share
from crystalfw.plugins.metrics.shared.matching import tolerance_record
from crystalfw.plugins.metrics.shared.population import judge
from crystalfw.plugins.metrics.shared.rules import protocol

STAGES = ("parsed", "valid graph", "decoded", "structurally valid", "compositionally valid", "unique", "novel")
_LISTED_REASONS = 12
_EXAMPLES = 100
"""Ids of crystals that passed every stage, for the report's gallery."""


class Shares(Metric):
    """The funnel from samples requested to novel crystals."""

    not_measured = frozenset({"failures", "failure_examples", "comparisons"})

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        tolerance: str = "strict"
        """StructureMatcher tolerance of unique and novel: strict (pymatgen's default, MatterGen) or loose."""
        oxidation_set: str = "smact14"
        """SMACT's oxidation states: smact14 (what CDVAE's figures were made with), icsd16, icsd24 or wiki."""
        key: bool = True
        """Let the representation's canonical key decide equality first; it never decides inequality."""
        time_limit: float = 20.0
        """Seconds per comparison; what runs out of time is counted."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """`context.train` is what novelty is judged against; without it the reference is, and the result says so."""
        funnel = _Funnel(len(samples))
        crystals = self._decoded(samples, funnel, context.bench)
        crystals = self._valid(samples, crystals, funnel, context.bench)
        survivors, decided = self._distinct(crystals, funnel, reference, context)
        names, total = ids(context.bench, samples), len(samples)
        listed = {stage: _listed(reasons) for stage, reasons in funnel.failures.items() if reasons}
        return {
            "asked": total,
            "chain": [{"stage": stage, **share(count, total)} for stage, count in funnel.counts.items()],
            "failures": listed,
            "failure_examples": {
                stage: {reason: names[k] for reason, k in first.items() if reason in listed[stage]}
                for stage, first in funnel.first.items()
                if stage in listed
            },
            "comparisons": decided,
            "examples": [names[k] for k in survivors.positions[:_EXAMPLES].tolist()],
            "protocol": self._protocol(reference, context),
            "outcomes": {stage: PerSample(names, passed) for stage, passed in funnel.passed.items()},
            "summary": [f"{stage}: {n} of {total} ({n / max(total, 1):.1%})" for stage, n in funnel.counts.items()],
        }

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """Validity, and what is left at the end."""
        words = {"structurally valid": "structurally valid", "novel": "valid, unique and novel"}
        links = {link["stage"]: link for link in result["chain"]}
        return [Figure.of_share(stage, label, links[stage]) for stage, label in words.items() if stage in links]

    @classmethod
    def sections(cls, result: Mapping[str, Any]) -> Sequence[Section]:
        """The funnel, and what was lost where."""
        stages = [Figure.of_share(link["stage"], link["stage"], link) for link in result["chain"]]
        examples = result.get("failure_examples", {})  # absent in files of earlier versions
        lost = [
            Example(f"not {stage}: {reason}", n, examples.get(stage, {}).get(reason, ""))
            for stage, reasons in result["failures"].items()
            for reason, n in reasons.items()
        ]
        note = "Shares of all samples requested; each stage counts what passed all before it."
        rows = [[link["stage"], link["count"], percent(link["share"]), figure.interval]
                for link, figure in zip(result["chain"], stages, strict=True)]  # fmt: skip
        reasons = Examples(title="Where samples were lost", rows=sorted(lost, key=lambda item: -item.count))
        return [
            Section(
                name="Funnel", title="From samples to new crystals", lead=_lead(result),
                parts=[
                    Bars(title="How many samples pass each check", figures=stages, note=note),
                    *([reasons] if lost else []),
                    Table(
                        title="The shares as a table", header=["stage", "samples", "share of all", "95 % interval"], rows=rows,
                        folded=True,
                    ),
                ],
            )
        ]  # fmt: skip

    @classmethod
    def measures(cls, result: Mapping[str, Any]) -> Mapping[str, float]:
        """The share at each stage by the stage's name."""
        chained = {link["stage"]: float(link["share"]) for link in result["chain"] if link["share"] is not None}
        return {**chained, **super().measures(result)}

    def _decoded(self, samples: Sequence[Sample], funnel: _Funnel, bench: Workbench) -> Picked[Crystal]:
        """The first three stages, which the table of samples decides."""
        crystals = decoded(bench, samples)
        lost = np.ones(len(samples), dtype=bool)
        lost[crystals.positions] = False
        lost_at = [Counter[str]() for _ in STAGES[:3]]
        for k in np.flatnonzero(lost).tolist():
            sample = samples[k]
            lost_in, kind = {"parse": 0, "read": 0, "graph": 1}.get(sample.status, 2), _kind_of(sample)
            lost_at[lost_in][kind] += 1
            funnel.first.setdefault(STAGES[lost_in], {}).setdefault(kind, k)
        remaining = len(samples)
        for stage, reasons in zip(STAGES, lost_at, strict=False):
            remaining -= sum(reasons.values())
            funnel.counts[stage], funnel.failures[stage] = remaining, reasons
        return crystals

    def _valid(
        self, samples: Sequence[Sample], crystals: Picked[Crystal], funnel: _Funnel, bench: Workbench
    ) -> Picked[Crystal]:
        judged = judge(bench, samples, self.config.oxidation_set)
        for stage, problems in ((STAGES[3], judged.structural), (STAGES[4], judged.compositional)):
            own = problems[crystals.positions]
            codes = np.unique(own[own > 0]).tolist()
            reasons = Counter({judged.reasons[code]: int((own == code).sum()) for code in codes})
            funnel.first[stage] = {judged.reasons[c]: int(crystals.positions[(own == c).argmax()]) for c in codes}
            crystals = funnel.keep(stage, crystals, own == 0, reasons)
        return crystals

    def _distinct(
        self, crystals: Picked[Crystal], funnel: _Funnel, reference: Sequence[Crystal], context: MetricContext
    ) -> tuple[Picked[Crystal], dict[str, Any]]:
        config, key, bench = self.config, context.key if self.config.key else None, context.bench
        groups = group_equal(bench, crystals, config.tolerance, config.time_limit, key)
        crystals = funnel.keep(STAGES[5], crystals, groups.same_as == np.arange(len(crystals)), "equals an earlier sample")
        decided = {"unique": dict(groups.decided)}
        known = context.train or reference
        if len(known):
            seen = find_equal(bench, crystals, known, config.tolerance, config.time_limit, key)
            crystals = funnel.keep(STAGES[6], crystals, seen.same_as < 0, "equals a known crystal")
            decided["novel"] = dict(seen.decided)
        return crystals, decided

    def _protocol(self, reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        train = context.train
        against = "the training crystals" if train else "the reference crystals" if reference else "nothing: not computed"
        return {
            **protocol(self.config.oxidation_set),
            "tolerance": {"name": self.config.tolerance, **tolerance_record(self.config.tolerance)},
            "key": bool(self.config.key and context.key),
            "novel_against": against,
            "known": len(train or reference),
            "time_limit_s": self.config.time_limit,
        }


class _Funnel:
    """What is left of all samples at each stage, and what was lost there."""

    def __init__(self, total: int) -> None:
        self._total = total
        self.counts: dict[str, int] = {}
        self.failures: dict[str, Counter[str]] = {}
        self.first: dict[str, dict[str, int]] = {}
        """Stage -> reason -> position of the first sample that was lost there for it."""
        self.passed: dict[str, NDArray[np.bool_]] = {}
        """Stage -> (S,) did the sample pass it?"""

    def keep(
        self, stage: str, crystals: Picked[Crystal], mask: NDArray[np.bool_], reasons: str | Counter[str]
    ) -> Picked[Crystal]:
        """Those that pass; `reasons` is why the others do not, counted where there are several."""
        kept = crystals.keep(mask)
        self.counts[stage] = len(kept)
        lost = len(crystals) - len(kept)
        self.failures[stage] = reasons if isinstance(reasons, Counter) else Counter({reasons: lost} if lost else {})
        if isinstance(reasons, str) and lost:
            self.first[stage] = {reasons: int(crystals.positions[mask.argmin()])}
        self.passed[stage] = np.zeros(self._total, dtype=bool)
        self.passed[stage][kept.positions] = True
        return kept


def _lead(result: Mapping[str, Any]) -> str:
    protocol = result["protocol"]
    return (
        f"Of {short(result['asked'])} samples requested, how many pass each stage and all before it. Unique and novel by "
        f"StructureMatcher ({protocol['tolerance']['name']}) within equal compositions; novel against "
        f"{protocol['novel_against']} ({short(protocol['known'])}). {protocol['compositional']}."
    )


def _kind_of(sample: Sample) -> str:
    """The reason without its particulars, so that equal failures are counted together."""
    return sample.reason.split(":")[0].strip() or sample.status


def _listed(reasons: Counter[str]) -> dict[str, int]:
    listed = dict(reasons.most_common(_LISTED_REASONS))
    rest = sum(reasons.values()) - sum(listed.values())
    return {**listed, **({"other reasons": rest} if rest else {})}
