"""The predictor that judges a run's samples: named, trained with the run, or refused before anything runs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from crystalfw.core.errors import RecipeError
from crystalfw.core.recipe import load_recipe
from crystalfw.core.run.predictor import check_predictor, judged_metrics

ASKED = frozenset({"properties.volume_per_atom", "composition"})


def metrics(*overrides):
    recipe = load_recipe("property", overrides)
    setup = SimpleNamespace(recipe=recipe, generator=SimpleNamespace(encoder=SimpleNamespace(requires=ASKED)))
    return [(spec.name, spec.options.get("predictor")) for spec in judged_metrics(setup, None, print)]


def test_a_named_predictor_reaches_the_metric_and_adds_it_where_it_is_missing():
    assert metrics("evaluate.metrics=[shares]") == [("shares", None)]
    named = "evaluate.predictor=runs/gap"
    assert metrics("evaluate.metrics=[shares]", named) == [("shares", None), ("conditional", "runs/gap")]
    own = "evaluate.metrics=[{name: conditional, predictor: runs/own}]"
    assert metrics(own, named) == [("conditional", "runs/own")]


@pytest.mark.parametrize(
    ("requires", "processes", "said"),
    [(frozenset({"geometry"}), 1, "asked by no property"), (ASKED, 2, "several processes")],
)
def test_what_cannot_train_a_predictor_is_refused(requires, processes, said):
    recipe = load_recipe("property", ["evaluate.predictor=train"])
    with pytest.raises(RecipeError, match=said):
        check_predictor(recipe, requires, processes)
    check_predictor(load_recipe("property"), requires, processes)
