"""The built-in baselines obey their laws, and each does what its name says."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from crystalfw.core.recipe.options import create
from crystalfw.core.records import Wanted
from crystalfw.core.testing import BaselineTests
from crystalfw.core.testing.baseline_laws import training
from crystalfw.plugins.baselines.exchange import ions_of


def quiet(line: str) -> None:
    """Nothing on the screen."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


class TestRandom(BaselineTests):
    name = "random"

    def test_draws_every_crystal_once_before_any_twice(self):
        found = list(self.make().samples([Wanted(str(k)) for k in range(14)], training(), seed=3, say=quiet))
        formulas = [sample.crystal.formula for sample in found]
        assert len(set(formulas[:7])) == len(set(formulas[7:])) == 7
        assert formulas[:7] != formulas[7:]


class TestNearest(BaselineTests):
    name = "nearest"

    def test_takes_the_most_similar_salt_and_scales_it(self):
        wanted = [Wanted("a", (19, 35)), Wanted("b", (19, 35), rank=1)]
        first, second = self.make().samples(wanted, training(), say=quiet)
        assert first.crystal.formula == second.crystal.formula == "KBr"
        # KCl is nearer to KBr than anything else there; its cell grows
        salt = next(crystal for crystal in training() if crystal.id == "19-17")
        assert np.allclose(first.crystal.frac_coords, salt.frac_coords)
        assert first.crystal.volume != pytest.approx(second.crystal.volume)

    def test_has_no_more_answers_than_crystals(self):
        (found,) = self.make().samples([Wanted("a", (19, 35), rank=7)], training(), say=quiet)
        assert (found.crystal, found.reason) == (None, "no further known crystal of the ratio 1:1")


class TestExchange(BaselineTests):
    name = "exchange"

    def test_free_exchange_keeps_the_charges_and_changes_an_element(self):
        baseline = self.make(free=True)
        found = list(baseline.samples([Wanted(str(k)) for k in range(12)], training(), seed=1, say=quiet))
        made = [sample.crystal for sample in found if sample.crystal is not None]
        assert len(made) > 6
        known = {crystal.formula for crystal in training()}
        assert any(crystal.formula not in known for crystal in made)
        for crystal in made:
            assert sum(charge for _, charge in ions_of(crystal.formula, 20.0)) == 0

    def test_prefers_the_likelier_exchange(self):
        (found,) = self.make().samples([Wanted("a", (37, 9))], training(), say=quiet)
        assert found.crystal.formula == "RbF"


class TestPrototype(BaselineTests):
    name = "prototype"
    options: ClassVar = {"max_atoms": 4, "per_prototype": 1}

    def test_rock_salt_is_among_the_answers(self):
        wanted = [Wanted(str(k), (19, 35), rank=k) for k in range(12)]
        made = [one.crystal for one in self.make().samples(wanted, [], say=quiet) if one.crystal is not None]
        assert 225 in {crystal.space_group.number for crystal in made}
        assert all(set(crystal.numbers.tolist()) == {19, 35} for crystal in made)


class TestTemplate(BaselineTests):
    name = "template"

    def test_answers_with_the_cell_that_is_asked_for(self):
        one, two = self.make().samples([Wanted("a", (37, 17)), Wanted("b", (37, 37, 17, 17))], training(), say=quiet)
        assert one.crystal.formula == "RbCl"
        assert two.crystal is None


class TestStrings(BaselineTests):
    name = "strings"
    options: ClassVar = {"max_length": 40}

    def test_writes_strings_of_the_composition(self):
        found = list(self.make().samples([Wanted(str(k), (11, 17)) for k in range(6)], [], say=quiet))
        assert all({"Na", "Cl"} <= set(sample.string.split()) for sample in found)

    def test_or_of_any(self):
        baseline = create("baseline", "strings", {"composition": False, "max_length": 40})
        found = list(baseline.samples([Wanted(str(k), (11, 17)) for k in range(6)], [], say=quiet))
        assert len({sample.string for sample in found}) == 6
