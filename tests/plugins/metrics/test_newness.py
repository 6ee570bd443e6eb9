"""Novelty in steps, leaks, diversity, cost: each on crystals whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.errors import DataError
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.interfaces import MetricContext
from crystalfw.core.testing import MetricTests
from crystalfw.core.testing.crystals import small_crystals
from crystalfw.plugins.metrics.cost import Cost
from crystalfw.plugins.metrics.diversity import Effective, Vendi
from crystalfw.plugins.metrics.match import Match
from crystalfw.plugins.metrics.shared.fingerprints import average_minimum_distances
from tests.plugins.metrics.crystals import caesium_chloride, moved, perovskite, rock_salt, sample


def compute(metric, samples, reference=(), train=()):
    with Workbench(workers=1, quiet=True) as bench:
        return metric.compute(samples, list(reference), MetricContext(bench=bench, train=list(train)))


class TestNoveltySteps(MetricTests):
    name = "novelty_steps"

    def test_each_step_takes_what_it_should(self):
        salt = rock_salt()
        other = rock_salt(numbers=(55, 53))
        # a little strain changes neither the arrangement nor, for the matcher, the crystal
        distorted = replace(other, lattice=other.lattice @ np.diag([1.0, 1.0, 1.01]))
        samples = [
            sample("known", moved(salt)), sample("exchange", other), sample("distorted", distorted),
            sample("new", perovskite()), sample("failed", status="parse", reason="x"),
        ]  # fmt: skip
        result = compute(self.make(), samples, train=[salt, caesium_chloride()])
        chain = {name: item["count"] for name, item in result["chain"].items()}
        assert chain == {"decoded": 4, "new_by_matcher": 3, "not_an_exchange": 1}
        assert result["exchanges_of_new"]["count"] == 2
        assert result["new_type"]["count"] == 1
        assert result["chain"]["decoded"]["of"] == 5

    def test_a_sample_that_relaxes_to_a_known_crystal_is_not_new(self):
        salt = rock_salt()
        squashed = replace(salt, lattice=salt.lattice @ np.diag([1.0, 1.0, 1.9]))
        samples = [replace(sample("a", squashed), relaxed=salt), sample("b", squashed)]
        chain = compute(self.make(), samples, train=[salt])["chain"]
        assert (chain["new_by_matcher"]["count"], chain["new_after_relaxation"]["count"]) == (2, 0)

    def test_without_known_crystals_it_says_so(self):
        with pytest.raises(DataError, match="give --train"):
            compute(self.make(), [sample("a", rock_salt())])


class TestLeaks(MetricTests):
    name = "leaks"

    def test_counts_formulas_structures_polymorphs(self):
        salt = rock_salt(id="salt")
        polymorph = caesium_chloride(numbers=(11, 17), id="cscl")
        reference = [moved(salt), polymorph, perovskite(id="p")]
        result = compute(self.make(), [sample("a", salt)], reference, [salt])
        counts = {name: item["count"] for name, item in result.items() if isinstance(item, dict) and "count" in item}
        assert counts == {
            "formula_in_training": 2, "structure_in_training": 1, "polymorph_of_training": 1,
            "polymorphs_among_references": 2,
        }  # fmt: skip

    def test_match_prints_them_and_the_rate_without(self):
        salt, other = rock_salt(id="salt"), perovskite(id="p")
        samples = [sample("a", salt, reference_id="salt"), sample("b", other, reference_id="p")]
        result = compute(Match(Match.Config()), samples, [salt, other], [salt])
        assert any("leaks: of 2 reference crystals" in line for line in result["summary"])
        unseen = result["loose"]["n=1"]["unseen_formula"]
        assert (unseen["count"], unseen["of"]) == (1, 1)
        assert result["loose"]["metre"]["candidates"] == {"samples": 2, "average": 1.0, "most": 1}


class TestDiversity(MetricTests):
    name = "diversity"

    def test_copies_count_once(self):
        copies = [sample(str(k), moved(rock_salt())) for k in range(5)]
        result = compute(self.make(resamples=5), [*copies, sample("x", perovskite())], [rock_salt(), perovskite()])
        assert compute(self.make(resamples=5), copies)["samples"]["composition"]["score"] == pytest.approx(1.0)
        assert 1.0 < result["samples"]["composition"]["score"] < 2.0
        assert result["samples"]["composition"]["score"] < result["reference"]["composition"]["score"]


def vendi(prints):
    return Vendi(prints)(np.ones(len(prints)))


def test_vendi_of_orthogonal_things_is_their_number():
    assert vendi(np.eye(7)) == pytest.approx(7.0)
    assert vendi(np.ones((7, 3))) == pytest.approx(1.0)
    assert Effective(np.eye(4))(np.ones(4)) == pytest.approx(4.0)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_vendi_lies_between_one_and_the_number_and_does_not_see_the_order(seed):
    rng = np.random.default_rng(seed)
    prints = rng.normal(size=(int(rng.integers(1, 9)), 5))
    score = vendi(prints)
    assert 1 - 1e-9 <= score <= min(prints.shape) + 1e-9
    assert vendi(rng.permutation(prints)) == pytest.approx(score)
    similarity = prints / np.linalg.norm(prints, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(similarity @ similarity.T / len(prints))  # the definition, on the n x n matrix
    values = values[values > 1e-12]
    assert score == pytest.approx(np.exp(-(values * np.log(values)).sum()))
    times = rng.integers(0, 3, len(prints)) + 1
    assert Vendi(prints)(times.astype(float)) == pytest.approx(vendi(np.repeat(prints, times, axis=0)))
    assert Effective(prints**2)(times.astype(float)) == pytest.approx(
        Effective(np.repeat(prints**2, times, axis=0))(np.ones(times.sum()))
    )


@pytest.mark.parametrize("crystal", small_crystals(), ids=lambda crystal: crystal.id)
def test_minimum_distances_see_neither_the_cell_nor_the_elements(crystal):
    expected = average_minimum_distances(crystal)
    doubled = replace(
        crystal, lattice=np.diag([2.0, 1, 1]) @ crystal.lattice, numbers=np.tile(crystal.numbers, 2),
        frac_coords=np.vstack([(crystal.frac_coords + np.array([k, 0, 0])) / np.array([2, 1, 1]) for k in range(2)]),
    )  # fmt: skip
    for same in (doubled, replace(crystal, lattice=1.7 * crystal.lattice), replace(crystal, numbers=crystal.numbers + 1)):
        np.testing.assert_allclose(average_minimum_distances(same), expected, atol=1e-9)
    assert (np.diff(expected) >= -1e-12).all()


class TestCost:
    def test_seconds_for_each_new_crystal(self):
        samples = [replace(sample("a", rock_salt()), cpu_s=2.0), replace(sample("b", caesium_chloride()), cpu_s=4.0)]
        result = compute(Cost(Cost.Config()), samples, train=[rock_salt()])
        assert (result["cpu_s"], result["per_sample"], result["novel"], result["per_novel"]) == (6.0, 3.0, 1, 6.0)

    def test_without_the_column_it_says_so(self):
        with pytest.raises(DataError, match="no column cpu_s"):
            compute(Cost(Cost.Config()), [sample("a", rock_salt())])
