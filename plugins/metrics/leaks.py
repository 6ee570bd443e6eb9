"""Leaks between training and reference crystals: formulas, structures, polymorphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.evaluate.per_sample import decoded
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Figure, Section, Table, percent
from crystalfw.core.records import Sample
from crystalfw.plugins.metrics.shared.leaks import leaks, sentence
from crystalfw.plugins.metrics.shared.matching import tolerance_record

_WORDS = {
    "formula_in_training": "reference formula is in the training part",
    "structure_in_training": "reference structure is in the training part",
    "polymorph_of_training": "another polymorph of the formula is in the training part",
    "polymorphs_among_references": "another reference has the formula",
}


class Leaks(Metric):
    """What a test set shares with the training set."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        time_limit: float = 20.0
        """Seconds per comparison; what runs out of time counts as different."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Raises DataError without reference or training crystals."""
        if not len(reference) or not len(context.train):
            raise DataError("leaks compares reference and training crystals: give both (--reference, --train)")
        found = leaks(context.bench, reference, context.train, self.config.time_limit).record()
        made = len(decoded(context.bench, samples))
        return {
            **found,
            "samples": {"asked": len(samples), "decoded": made},
            "summary": [f"leaks: {sentence(found)}"],
            "protocol": {"structure": {"StructureMatcher": tolerance_record("strict")}, "formula": "equal reduced formulas"},
        }

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """Structures that are in both."""
        item = result["structure_in_training"]
        return [Figure.of_share("structure_in_training", "references that training holds", item, better="")]

    @classmethod
    def sections(cls, result: Mapping[str, Any]) -> Sequence[Section]:
        """All counts."""
        rows = [
            [words, result[key]["count"], result[key]["of"], percent(result[key]["share"])] for key, words in _WORDS.items()
        ]
        table = Table(header=["", "references", "of", "share"], rows=rows)
        lead = "A match that training holds is recall, not prediction."
        return [Section(name="Leaks", title="What training and reference share", lead=lead, parts=[table])]
