"""A predictor that chooses among candidates: order, what it leaves alone, and settings that make no sense."""

from __future__ import annotations

import numpy as np
import pytest

from crystalfw.core.errors import ConditionError, RecipeError
from crystalfw.core.recipe import load_recipe
from crystalfw.core.recipe.schema import SampleSection
from crystalfw.core.run.predictor import check_predictor
from crystalfw.core.sample.conditions import condition_crystal
from crystalfw.core.sample.judge import Judge
from tests.plugins.metrics.crystals import rock_salt, sample

REQUIRES = frozenset({"properties.volume", "properties.charm", "properties.spacegroup.number"})
VOLUMES = {10: 4.0, 20: 3.0, 30: 2.5, 40: 1.0, 50: 2.4}
"""By the atomic number of a crystal's first atom."""
HALVES = {50: 2.0}


class ByFirstAtom:
    """Predicts a volume from the first atom; refuses neon."""

    targets = ("volume",)

    def prepared(self, crystal, origin):
        if int(crystal.numbers[0]) == 10:
            raise ConditionError(f"{origin}: neon")
        return crystal

    def predict_with_errors(self, crystals):
        values = np.array([VOLUMES[int(crystal.numbers[0])] for crystal in crystals])
        return {"volume": (values, np.array([HALVES.get(int(crystal.numbers[0]), 0.5) for crystal in crystals]))}


@pytest.fixture
def judge():
    return Judge("by-first-atom", lambda name: ByFirstAtom())


def condition(**asked):
    return condition_crystal(asked, REQUIRES, REQUIRES)


def test_it_takes_up_numbers_that_it_predicts(judge):
    assert judge.asked(condition(volume=2.0, charm=1.0)) == {"volume": 2.0}
    assert judge.asked(condition(space_group=225)) == {}
    assert judge.asked(None) == {}
    never = Judge("no such model", pytest.fail)  # a condition without numbers: it is not even looked for
    assert never.asked(condition(space_group=225)) == {}


def test_the_nearest_go_first_and_what_cannot_be_predicted_last(judge):
    made = [sample(str(z), rock_salt(numbers=(z, 8))) for z in (10, 20, 30, 40, 50)]
    order = judge.nearest_first(made, {"volume": 2.4})
    assert [one.id for one in order] == ["30", "20", "40", "50", "10"]  # 50 is said to be nearest, without being sure
    distances = judge.distances([one.crystal for one in made], {"volume": 2.5})
    np.testing.assert_allclose(distances, [np.inf, 2.0, 1.0, 4.0, 4.2])  # in halves of the interval


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ConditionError, match="say how many: candidates"):
        SampleSection(judge="mp-energies")
    assert not SampleSection(judge="none").is_prediction
    for key in ("sample.judge", "evaluate.predictor"):
        recipe = load_recipe("property", [f"{key}=no-such-model", "sample.candidates=4"])
        with pytest.raises(RecipeError, match=f"{key}: no-such-model"):
            check_predictor(recipe, frozenset({"properties.volume"}), 1)
