"""Novelty in four steps: a new string, new by the matcher, new after relaxation, and not an exchange of a known crystal.

Each step counts what passed all before it; the denominator is all samples that were asked for. Beside it: how many decoded
samples have a structure type that the known crystals lack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.evaluate.per_sample import PerSample, decoded, ids
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Bars, Figure, Section, Table, percent
from crystalfw.core.records import Sample
from crystalfw.core.system.sequences import Picked
from crystalfw.plugins.metrics.shared.equality import find_equal, keys_of
from crystalfw.plugins.metrics.shared.exchanges import find_exchanges
from crystalfw.plugins.metrics.shared.geometry import share
from crystalfw.plugins.metrics.shared.matching import tolerance_record
from crystalfw.plugins.metrics.shared.types import types_of

_WORDS = {
    "decoded": "crystals",
    "new_string": "of a new string",
    "new_by_matcher": "new by StructureMatcher",
    "new_after_relaxation": "still new after relaxation",
    "not_an_exchange": "no exchange of a known crystal",
}


class NoveltySteps(Metric):
    """How new is new?"""

    not_measured = frozenset({"not_decided"})

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        tolerance: str = "strict"
        """StructureMatcher tolerance of all comparisons: strict or loose."""
        nearest: int = 5
        """Known crystals of the same anonymous formula that a sample is compared with, the most similar first."""
        time_limit: float = 20.0
        """Seconds per comparison; what runs out of time counts as different, and is counted."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """New against `context.train`, or the reference where there is none. Raises DataError without either."""
        bench, config = context.bench, self.config
        known = context.train or reference
        if not len(known):
            raise DataError("novelty_steps needs known crystals: give --train, or --reference")
        crystals = decoded(bench, samples)
        total, undecided = len(samples), dict[str, int]()
        passed: dict[str, NDArray[np.bool_]] = {"decoded": np.ones(len(crystals), dtype=bool)}
        if context.key is not None:
            ours, theirs = (
                keys_of(bench, some, np.arange(len(some)), context.key, label)
                for some, label in ((crystals, "samples"), (known, "known crystals"))
            )
            passed["new_string"] = (ours == 0) | ~np.isin(ours, theirs)
            undecided["without a key"] = int((ours == 0).sum())
        found = find_equal(bench, crystals, known, config.tolerance, config.time_limit)
        passed["new_by_matcher"] = found.same_as < 0
        relaxed = self._relaxed(bench, samples, crystals, known)
        if relaxed is not None:
            passed["new_after_relaxation"], undecided["without a relaxed crystal"] = relaxed
        exchanges = find_exchanges(bench, crystals, known, config.tolerance, config.nearest, config.time_limit)
        passed["not_an_exchange"] = exchanges.same_as < 0
        undecided["comparisons out of time"] = found.decided["timeout"] + exchanges.timeouts
        kinds, known_kinds = types_of(bench, crystals, "samples").kind, types_of(bench, known, "known crystals").kind
        new_type = (kinds != 0) & ~np.isin(kinds, known_kinds)
        return {
            **self._chained(passed, crystals, ids(bench, samples), total),
            "alone": {name: share(int(mask.sum()), total) for name, mask in passed.items()},
            "new_type": share(int(new_type.sum()), len(crystals)),
            "exchanges_of_new": share(int((passed["new_by_matcher"] & (exchanges.same_as >= 0)).sum()),
                                      int(passed["new_by_matcher"].sum())),
            "without_symmetry": int((kinds == 0).sum()),
            "not_decided": {name: count for name, count in undecided.items() if count},
            "protocol": {
                "denominator": "all samples; new_type: decoded samples; exchanges_of_new: those new by the matcher",
                "tolerance": {"name": config.tolerance, **tolerance_record(config.tolerance)},
                "exchange": f"fit_anonymous with the {config.nearest} nearest known crystals of the anonymous formula",
                "type": "counts, formula units, space group and Wyckoff letters by spglib at 0.1 angstrom",
                "novel_against": "the training crystals" if context.train else "the reference crystals", "known": len(known),
            },
        }  # fmt: skip

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """What is new by every step, and the exchanges among what the matcher calls new."""
        return [
            Figure.of_share("chain.not_an_exchange", "new by every step", result["chain"]["not_an_exchange"]),
            Figure.of_share("exchanges_of_new", "exchanges among the new", result["exchanges_of_new"], better="lower"),
            Figure.of_share("new_type", "of a new structure type", result["new_type"], better=""),
        ]

    @classmethod
    def sections(cls, result: Mapping[str, Any]) -> Sequence[Section]:
        """The steps, chained and alone."""
        figures = [Figure.of_share(name, _WORDS[name], item) for name, item in result["chain"].items()]
        rows = [
            [_WORDS[name], item["count"], percent(item["share"]), result["alone"][name]["count"]]
            for name, item in result["chain"].items()
        ]  # fmt: skip
        protocol = result["protocol"]
        lead = (
            f"Against {protocol['novel_against']} ({protocol['known']:,}). Exchange: {protocol['exchange']}. "
            f"Of the samples new by the matcher {percent(result['exchanges_of_new']['share'])} are exchanges of known crystals."
        )
        table = Table(header=["step", "samples that pass it and all before", "share of all", "alone"], rows=rows)
        bars = Bars(title="How new is new", figures=figures, note="Each step counts what passed all before it.")
        return [Section(name="Steps", title="Novelty in steps", lead=lead, parts=[bars, table])]

    def _relaxed(
        self, bench: Workbench, samples: Sequence[Sample], crystals: Picked[Crystal], known: Sequence[Crystal]
    ) -> tuple[NDArray[np.bool_], int] | None:
        """Whether the relaxed crystal is new (one without a relaxed crystal is not), and how many have none."""
        there = np.fromiter((samples[int(k)].relaxed is not None for k in crystals.positions), bool, len(crystals))
        if not there.any():
            return None
        relaxed = Picked(samples, crystals.positions[there], _relaxed_of)
        new = np.zeros(len(crystals), dtype=bool)
        new[there] = find_equal(bench, relaxed, known, self.config.tolerance, self.config.time_limit).same_as < 0
        return new, int((~there).sum())

    @staticmethod
    def _chained(
        passed: Mapping[str, NDArray[np.bool_]], crystals: Picked[Crystal], names: Sequence[str], total: int
    ) -> dict[str, Any]:
        chain, outcomes, lines, alive = {}, {}, [], np.ones(len(crystals), dtype=bool)
        for name, mask in passed.items():
            alive = alive & mask
            whole = np.zeros(total, dtype=bool)
            whole[crystals.positions[alive]] = True
            chain[name], outcomes[f"chain.{name}"] = share(int(alive.sum()), total), PerSample(names, whole)
            lines.append(f"{_WORDS[name]}: {int(alive.sum())} of {total}")
        return {"chain": chain, "outcomes": outcomes, "summary": lines}


def _relaxed_of(sample: Sample) -> Crystal:
    assert sample.relaxed is not None
    return sample.relaxed
