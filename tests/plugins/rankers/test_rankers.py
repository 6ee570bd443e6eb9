"""The rankers: the laws, and what the learned one learns."""

from __future__ import annotations

from typing import ClassVar

import pytest

from crystalfw.core.recipe.options import create
from crystalfw.core.registry import KINDS
from crystalfw.core.testing import RankerTests
from crystalfw.core.testing.laws import Subject
from crystalfw.core.testing.ranker_laws import QUESTION, fitted, pool
from crystalfw.plugins.rankers.as_proposed import AsProposed
from crystalfw.plugins.rankers.learned import Learned


class TestAsProposed(RankerTests):
    component = AsProposed


class TestLearned(RankerTests):
    component = Learned
    options: ClassVar = {"steps": 40, "networks": 2}


def test_it_learns_what_the_proposers_do_not_say():
    ranker = fitted(Subject("ranker", Learned, {"steps": 200, "networks": 1}))
    right = 0
    for seed in range(100, 140):
        found = pool(seed)
        verdicts = ranker.rank(QUESTION, found)
        best = max(range(len(found)), key=lambda k: verdicts[k].probability)
        right += found[best].evidence["nearest"] == max(p.evidence["nearest"] for p in found)
    assert right >= 32  # the proposers' own order gets 8


def test_without_a_fit_it_keeps_the_proposers_order():
    found = pool(0)
    verdicts = create("ranker", "learned").rank(QUESTION, found)
    assert [v.probability for v in verdicts] == pytest.approx([p.probability for p in found])
    assert "ranker" in KINDS


def test_a_reason_names_the_move():
    found = pool(7)
    ranker = fitted(Subject("ranker", Learned, {"steps": 200, "networks": 1}))
    assert any("from place" in verdict.why for verdict in ranker.rank(QUESTION, found))
