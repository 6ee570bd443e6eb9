"""Conditions drawn from the training crystals: their distribution, what stays as asked, and what a request's rows depend on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from crystalfw.core.errors import ConditionError
from crystalfw.core.recipe.schema import SampleSection
from crystalfw.core.sample.conditions import condition_crystal
from crystalfw.core.sample.drawn import MOST_ROWS, Drawing, remembered
from crystalfw.core.sample.prediction import asked_group, met_first
from crystalfw.core.sample.request import Request
from tests.plugins.metrics.crystals import caesium_chloride, rock_salt, sample

GROUP = "spacegroup.number"
REQUIRES = frozenset({f"properties.{GROUP}", "properties.gap", "composition"})
COLUMNS = {
    GROUP: np.repeat([225.0, 62.0], [300, 100]),
    "gap": np.repeat([1.0, 5.0], [300, 100]),
    "volume": np.arange(400.0),
}
KNOWN = remembered(COLUMNS, REQUIRES)


def drawn(names=("space_group",), condition=None, n=400, seed=0, known=KNOWN):
    request = Request(
        settings=SampleSection(n=n), seed=seed, drawing=Drawing(names, known, REQUIRES),
        conditions=(condition_crystal(condition, REQUIRES, REQUIRES),) if condition else (),
    )  # fmt: skip
    return [dict(request.condition(index).properties) for index in range(n)]


def test_only_what_a_model_is_asked_by_is_remembered_and_not_too_much_of_it():
    assert KNOWN["names"] == ["gap", GROUP]
    assert remembered(COLUMNS, frozenset({"composition"})) == {}
    many = remembered({"gap": np.arange(25_001.0)}, REQUIRES)["values"]
    assert len(many) <= MOST_ROWS
    assert many[-1, 0] > 24_990  # spread over the whole part


def test_groups_are_drawn_as_often_as_training_has_them():
    groups = [properties[GROUP] for properties in drawn()]
    share = groups.count(225.0) / len(groups)
    assert abs(share - 0.75) < 4 * (0.75 * 0.25 / 400) ** 0.5
    assert set(groups) == {225.0, 62.0}


def test_a_draw_depends_on_seed_and_sample_alone():
    assert drawn(n=50) == drawn(n=400)[:50]
    assert drawn(seed=1) != drawn(seed=0)


def test_what_is_asked_stays_and_the_rest_suits_it():
    assert {properties[GROUP] for properties in drawn(condition={"space_group": 14})} == {14.0}
    near = drawn(condition={"gap": 4.8})
    assert {(properties["gap"], properties[GROUP]) for properties in near} == {(4.8, 62.0)}


def test_columns_of_one_training_crystal_are_drawn_together():
    pairs = {(properties["gap"], properties[GROUP]) for properties in drawn(("space_group", "gap"))}
    assert pairs == {(1.0, 225.0), (5.0, 62.0)}


@pytest.mark.parametrize(
    ("names", "known", "said"),
    [
        (("volume",), KNOWN, "not trained for the condition 'volume'"),
        (("space_group",), {}, "remembers no space_group of its training crystals; it remembers none"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(names, known, said):
    with pytest.raises(ConditionError, match=said):
        Drawing(names, known, REQUIRES)


def test_candidates_with_the_space_group_asked_for_go_first():
    made = [sample("0", caesium_chloride()), sample("1", rock_salt()), sample("2", caesium_chloride())]
    assert [one.id for one in met_first(made, 225)] == ["1", "0", "2"]
    assert [one.id for one in met_first(made, 0)] == ["0", "1", "2"]
    again = [dataclasses.replace(one, string=one.id) for one in [*made, sample("3", rock_salt())]]
    assert [one.id for one in met_first(again, 225, {"1": 9, "3": 4, "0": 1, "2": 0})] == ["3", "1", "0", "2"]
    asked = condition_crystal({"space_group": 225}, REQUIRES, REQUIRES)
    assert (asked_group(asked), asked_group(None)) == (225, 0)
