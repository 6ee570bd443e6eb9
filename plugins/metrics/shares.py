"""Chained shares: parsed -> valid graph -> decoded -> structurally valid -> compositionally valid -> unique -> novel.

One denominator, all samples asked for; a sample counts at a stage only if it passed every stage before. A failure is
counted with its reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Metric, Sample
from crystalfw.plugins.metrics.equality import find_equal, group_equal
from crystalfw.plugins.metrics.geometry import share
from crystalfw.plugins.metrics.matching import tolerance_record
from crystalfw.plugins.metrics.validity import compositional_problems, protocol, structural_problem

STAGES = ("parsed", "valid graph", "decoded", "structurally valid", "compositionally valid", "unique", "novel")
_LISTED_REASONS = 12
_EXAMPLES = 100
"""Ids of crystals that passed every stage, for the report's gallery."""


class Shares(Metric):
    """The funnel from samples asked for to novel crystals."""

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

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: Mapping[str, Any]) -> dict[str, Any]:
        """`context["train"]` is what novelty is judged against; without it the reference is, and the result says so."""
        failures: dict[str, Counter[str]] = defaultdict(Counter)
        counts: dict[str, int] = {}
        passed: dict[str, set[str]] = {}
        crystals = self._decoded(samples, counts, failures)
        crystals = self._valid(crystals, counts, failures, context, passed)
        survivors, decided = self._distinct(crystals, counts, failures, reference, context, passed)
        total = len(samples)
        chain = [{"stage": stage, **share(counts[stage], total)} for stage in STAGES if stage in counts]
        return {
            "asked": total,
            "chain": chain,
            "failures": {stage: _listed(failures[stage]) for stage in STAGES if failures[stage]},
            "comparisons": decided,
            "examples": [crystal.id for crystal in survivors[:_EXAMPLES]],
            "protocol": self._protocol(reference, context),
            "outcomes": {stage: {s.id: float(s.id in ids) for s in samples} for stage, ids in passed.items()},
            "summary": [
                f"{stage}: {counts[stage]} of {total} ({counts[stage] / max(total, 1):.1%})"
                for stage in STAGES
                if stage in counts
            ],
        }

    def _decoded(self, samples: Sequence[Sample], counts: dict[str, int], failures: dict[str, Counter[str]]) -> list[Crystal]:
        counts.update(dict.fromkeys(STAGES[:3], len(samples)))
        crystals = []
        for sample in samples:
            if sample.status == "ok" and sample.crystal is not None:
                crystals.append(replace(sample.crystal, id=sample.id))
                continue
            lost_at = {"parse": 0, "read": 0, "graph": 1}.get(sample.status, 2)
            for stage in STAGES[lost_at:3]:
                counts[stage] -= 1
            failures[STAGES[lost_at]][_kind_of(sample)] += 1
        return crystals

    def _valid(
        self,
        crystals: list[Crystal],
        counts: dict[str, int],
        failures: dict[str, Counter[str]],
        context: Mapping[str, Any],
        passed: dict[str, set[str]],
    ) -> list[Crystal]:
        problems = [structural_problem(crystal) for crystal in crystals]
        crystals = _keep(STAGES[3], crystals, problems, counts, failures, passed)
        config = self.config
        problems = compositional_problems(crystals, config.oxidation_set)
        return _keep(STAGES[4], crystals, problems, counts, failures, passed)

    def _distinct(
        self,
        crystals: list[Crystal],
        counts: dict[str, int],
        failures: dict[str, Counter[str]],
        reference: Sequence[Crystal],
        context: Mapping[str, Any],
        passed: dict[str, set[str]],
    ) -> tuple[list[Crystal], dict[str, Any]]:
        config, key = self.config, context.get("key") if self.config.key else None
        groups = group_equal(context["bench"], crystals, config.tolerance, config.time_limit, key)
        problems = ["" if same == index else "equals an earlier sample" for index, same in enumerate(groups.same_as)]
        crystals = _keep(STAGES[5], crystals, problems, counts, failures, passed)
        decided = {"unique": dict(groups.decided)}
        known = context.get("train") or reference
        if known:
            seen = find_equal(context["bench"], crystals, known, config.tolerance, config.time_limit, key)
            problems = ["" if same is None else "equals a known crystal" for same in seen.same_as]
            crystals = _keep(STAGES[6], crystals, problems, counts, failures, passed)
            decided["novel"] = dict(seen.decided)
        return crystals, decided

    def _protocol(self, reference: Sequence[Crystal], context: Mapping[str, Any]) -> dict[str, Any]:
        train = context.get("train")
        against = "the training crystals" if train else "the reference crystals" if reference else "nothing: not computed"
        return {
            **protocol(self.config.oxidation_set),
            "tolerance": {"name": self.config.tolerance, **tolerance_record(self.config.tolerance)},
            "key": bool(self.config.key and context.get("key")),
            "novel_against": against,
            "known": len(train or reference),
            "time_limit_s": self.config.time_limit,
        }


def _keep(
    stage: str,
    crystals: list[Crystal],
    problems: list[str],
    counts: dict[str, int],
    failures: dict[str, Counter[str]],
    passed: dict[str, set[str]],
) -> list[Crystal]:
    kept = [crystal for crystal, problem in zip(crystals, problems, strict=True) if not problem]
    counts[stage] = len(kept)
    passed[stage] = {crystal.id for crystal in kept}
    failures[stage].update(filter(None, problems))
    return kept


def _kind_of(sample: Sample) -> str:
    """The reason without its particulars, so that equal failures are counted together."""
    return sample.reason.split(":")[0].strip() or sample.status


def _listed(reasons: Counter[str]) -> dict[str, int]:
    listed = dict(reasons.most_common(_LISTED_REASONS))
    rest = sum(reasons.values()) - sum(listed.values())
    return {**listed, **({"other reasons": rest} if rest else {})}
