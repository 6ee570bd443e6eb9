"""The laws of metrics: each catches what was broken on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from crystalfw.core.interfaces import Metric
from crystalfw.core.presentation import Figure
from crystalfw.core.testing import laws_of
from crystalfw.core.testing.laws import Subject
from tests.core.testing.planted import other_config, unordered_version


class Oxygen(Metric):
    def __init__(self, config):
        pass

    def compute(self, samples, reference, context):
        found = [8 in s.crystal.numbers for s in samples if s.crystal is not None]
        return {"share": sum(found) / len(samples) if samples else None, "of": len(samples)}


class ReturnsArray(Oxygen):
    def compute(self, samples, reference, context):
        return {"counts": np.array([1, 2])}


class DividesByZero(Oxygen):
    def compute(self, samples, reference, context):
        return {"share": 1 / len([s for s in samples if s.crystal is not None]), "of": len(samples)}


class Dice(Oxygen):
    def compute(self, samples, reference, context):
        return {"value": float(np.random.random()), "of": len(samples)}


class WantsLists(Oxygen):
    def compute(self, samples, reference, context):
        return super().compute(samples + [], reference, context)  # noqa: RUF005 - the bug that is planted


class DropsFailures(Oxygen):
    def compute(self, samples, reference, context):
        return super().compute([s for s in samples if s.crystal is not None], reference, context)


class Boasts(Oxygen):
    @classmethod
    def headline(cls, result):
        return [Figure("share", "crystals with oxygen", 1.0)]


class NamesStrangers(Oxygen):
    def compute(self, samples, reference, context):
        named = {crystal.id: {"good": True, "text": "match"} for crystal in reference}  # of the reference, not of the samples
        return {**super().compute(samples, reference, context), "verdicts": named}


class JudgesInWords(Oxygen):
    def compute(self, samples, reference, context):
        return {**super().compute(samples, reference, context), "verdicts": {s.id: {"good": "yes"} for s in samples}}


class Wraps(Oxygen):
    def compute(self, samples, reference, context):
        for crystal in reference:
            crystal.frac_coords[:] += 0.25
        return super().compute(samples, reference, context)


BUGS = {
    "metric": {
        "json_values": [ReturnsArray],
        "empty": [DividesByZero],
        "determinism": [Dice, WantsLists],
        "failures_counted": [DropsFailures],
        "inputs_untouched": [Wraps],
        "presentation": [Boasts],
        "named_samples": [NamesStrangers, JudgesInWords],
        "config": [other_config(Oxygen)],
        "version": [unordered_version(Oxygen)],
    }
}
LAWS = laws_of("metric")


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_sound_metric_passes(law):
    assert law.violation(Subject("metric", Oxygen, path=__file__)) is None


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_planted_bugs_are_caught(law):
    for bug in BUGS["metric"][law.name]:
        message = law.violation(Subject("metric", bug, path=__file__))
        assert message is not None, f"{bug.__name__} passes"
        assert (message[: len(law.statement)], message[-len(law.remedy) :]) == (law.statement, law.remedy)
