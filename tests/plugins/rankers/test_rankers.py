"""The rankers: the laws, and what the learned one learns."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Judged
from crystalfw.core.powder.lines import powder_lines
from crystalfw.core.powder.profile import profile
from crystalfw.core.powder.radiation import radiation
from crystalfw.core.recipe.options import create
from crystalfw.core.registry import KINDS
from crystalfw.core.testing import RankerTests
from crystalfw.core.testing.laws import Subject
from crystalfw.core.testing.ranker_laws import QUESTION, fitted, pool
from crystalfw.plugins.rankers.as_proposed import AsProposed
from crystalfw.plugins.rankers.calibration import chances, fit_scale, scaled
from crystalfw.plugins.rankers.learned import Learned
from crystalfw.plugins.rankers.powder import Powder


class TestAsProposed(RankerTests):
    component = AsProposed


class TestLearned(RankerTests):
    component = Learned
    options: ClassVar = {"steps": 40, "networks": 2}


class TestPowder(RankerTests):
    component = Powder

    @pytest.fixture(autouse=True)
    def _pattern(self, tmp_path, monkeypatch):
        monkeypatch.setattr(type(self), "options", {"pattern": str(pattern_of(pool(1)[2], tmp_path / "a.xy"))}, raising=False)


def pattern_of(proposal, path):
    """The computed pattern of a proposal as a file."""
    cu, grid = radiation("CuKa"), np.arange(10, 80, 0.02)
    curve = profile(powder_lines(proposal.crystal, cu.mean, (5, 85)), grid, cu)
    path.write_text("\n".join(f"{x:.3f} {5000 * y + 20:.2f}" for x, y in zip(grid, curve / curve.max(), strict=True)))
    return path


def test_a_pattern_puts_the_crystal_that_explains_it_first(tmp_path):
    found = pool(1)
    ranker = create("ranker", "powder", {"pattern": str(pattern_of(found[2], tmp_path / "a.xy"))})
    said = ranker.rank(QUESTION, found)
    assert max(range(len(found)), key=lambda k: said[k].probability) == 2  # by the proposers it is the third
    assert "explains" in said[2].why
    assert said[2].probability > 0.9
    assert "no pattern was given" in create("ranker", "powder").rank(QUESTION, found)[0].why
    with pytest.raises(DataError, match="no such file"):
        create("ranker", "powder", {"pattern": "gone.xy"}).rank(QUESTION, found)


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


def test_what_resembles_the_right_one_shares_its_chance():
    near, far = (np.full((2, 2, 8), value, dtype=np.float32) for value in (1.0, 2.0))
    found = [replace(one, shape=shape) for one, shape in zip(pool(1, 3), (near, near, far), strict=True)]
    shares = torch.tensor([0.4, 0.3, 0.2])
    assert chances(found, shares).tolist() == pytest.approx([0.7, 0.7, 0.2], abs=1e-4)
    assert chances(pool(1, 3), shares).tolist() == pytest.approx([0.4, 0.3, 0.2])


def test_chances_that_are_too_sure_are_scaled_to_what_was_right():
    said = torch.rand(4000, generator=torch.Generator().manual_seed(0))
    truth = torch.sigmoid(0.5 * torch.logit(said, 1e-6) - 0.3)
    right = torch.rand(4000, generator=torch.Generator().manual_seed(1)) < truth
    after = scaled(said, fit_scale(said, right))
    assert (after - truth).abs().max() < 0.05
    assert (said - truth).abs().max() > 0.15
    assert fit_scale(said[:0], right[:0]).tolist() == pytest.approx([1, 0])


def test_weights_of_version_1_are_read():
    ranker = fitted(Subject("ranker", Learned, {"steps": 40, "networks": 1}))
    old = {name: value for name, value in ranker.state_dict().items() if name != "scale"}
    _, state = Learned.upgrade("1", {}, old)
    create("ranker", "learned", {"networks": 1}).load_weights(state)


def test_it_is_calibrated_on_what_it_did_not_learn_from():
    ranker = fitted(Subject("ranker", Learned, {"steps": 40, "networks": 1}))
    before = [verdict.probability for verdict in ranker.rank(QUESTION, pool(1))]
    ranker.calibrate([Judged(QUESTION, pool(seed), [False] * 5) for seed in range(50, 90)])
    after = [verdict.probability for verdict in ranker.rank(QUESTION, pool(1))]
    assert max(after) < 0.5 * max(before)
    assert np.argsort(after).tolist() == np.argsort(before).tolist()
