"""The laws of rankers: each catches what was broken on purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crystalfw.core.interfaces import Ranker, Verdict
from crystalfw.core.testing import laws_of
from crystalfw.core.testing.laws import Subject
from tests.core.testing.planted import other_config, unordered_version


class ByNearest(Ranker):
    """Weighs the evidence `nearest` by a learned factor."""

    def __init__(self, config: object) -> None:
        super().__init__()
        self.register_buffer("factor", torch.zeros(1))

    def fit(self, judged, *, seed=0, say=print):
        self.factor += 1

    def rank(self, question, proposals):
        nearest = [float(np.exp(self.factor.item() * p.evidence.get("nearest", 0.0))) for p in proposals]
        return [Verdict(value / sum(nearest), "by the nearest") for value in nearest]


class Short(ByNearest):
    def rank(self, question, proposals):
        return super().rank(question, proposals)[:1]


class Silent(ByNearest):
    def rank(self, question, proposals):
        return [replace(verdict, why="") for verdict in super().rank(question, proposals)]


class FirstWins(ByNearest):
    def rank(self, question, proposals):
        return [Verdict(1 / (2 + place), "place") for place, _ in enumerate(proposals)]


class Draws(ByNearest):
    def rank(self, question, proposals):
        return [Verdict(float(np.random.default_rng().random()), "drawn") for _ in proposals]


class Greedy(ByNearest):
    def rank(self, question, proposals):
        return [Verdict(1 / (1 + len(p.evidence)), "as much as there is") for p in proposals]


class Forgets(ByNearest):
    def fit(self, judged, *, seed=0, say=print):
        self.learned = True

    def rank(self, question, proposals):
        return [Verdict(0.5 if hasattr(self, "learned") else 0.1, "remembered") for _ in proposals]


BUGS: dict[str, dict[str, list[type]]] = {
    "ranker": {
        "verdicts": [Short, Silent],
        "order": [FirstWins],
        "determinism": [Draws],
        "strangers": [Greedy],
        "state_dict": [Forgets],
        "config": [other_config(ByNearest)],
        "version": [unordered_version(ByNearest)],
    }
}
LAWS = laws_of("ranker")


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_sound_ranker_passes(law):
    assert law.violation(Subject("ranker", ByNearest)) is None


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_planted_bugs_are_caught(law):
    for bug in BUGS["ranker"][law.name]:
        message = law.violation(Subject("ranker", bug))
        assert message is not None, f"{bug.__name__} passes"
        assert message.startswith(law.statement)
