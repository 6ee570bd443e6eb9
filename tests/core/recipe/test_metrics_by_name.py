"""`evaluate.metrics` as a list, and as a mapping from names of results to metrics."""

from __future__ import annotations

import pytest
import yaml

from crystalfw.core.errors import RecipeError
from crystalfw.core.recipe import expand, load_recipe

TEXT = """evaluate:
  metrics:
    shares:
    match: {n: [1, 20]}
    gap: {metric: conditional}
    energy: conditional
"""


def load(tmp_path, text, *overrides):
    (tmp_path / "mine.yaml").write_text(text)
    return load_recipe(tmp_path / "mine.yaml", overrides)


def metrics(recipe):
    return [(spec.label or spec.name, spec.name) for spec in recipe.evaluate.metrics]


def test_a_mapping_names_the_results(tmp_path):
    recipe = load(tmp_path, TEXT, "evaluate.metrics.gap.predictor=runs/gap", "evaluate.metrics.energy.predictor=runs/energy")
    assert metrics(recipe) == [("shares", "shares"), ("match", "match"), ("gap", "conditional"), ("energy", "conditional")]
    _, match, gap, energy = recipe.evaluate.metrics
    assert (match.config.n, gap.config.predictor, energy.config.predictor) == ((1, 20), "runs/gap", "runs/energy")


def test_the_expanded_recipe_keeps_the_names(tmp_path):
    recipe = load(tmp_path, TEXT, "evaluate.metrics.gap.predictor=runs/gap")
    text = expand(recipe)
    written = yaml.safe_load(text)["evaluate"]["metrics"]
    assert list(written) == ["shares", "match", "gap", "energy"]
    assert (written["gap"]["metric"], written["gap"]["predictor"]) == ("conditional", "runs/gap")
    assert load(tmp_path, text) == recipe


def test_a_list_stays_a_list(tmp_path):
    recipe = load(tmp_path, "evaluate: {metrics: [shares, {name: conditional}]}\n", "evaluate.metrics.1.predictor=runs/gap")
    assert metrics(recipe) == [("shares", "shares"), ("conditional", "conditional")]
    assert recipe.evaluate.metrics[1].config.predictor == "runs/gap"
    assert isinstance(yaml.safe_load(expand(recipe))["evaluate"]["metrics"], list)


@pytest.mark.parametrize(
    ("text", "override", "expected"),
    [
        ("evaluate: {metrics: {gap: {predictor: x}}}\n", "name=a", "evaluate.metrics.gap.name: no metric called 'gap'"),
        ("evaluate: {metrics: {shares: {tolerence: loose}}}\n", "name=a", "no option called 'tolerence'"),
        ("evaluate: {metrics: {shares: 3}}\n", "name=a", "expected the name of a metric"),
        (TEXT, "evaluate.metrics.2.predictor=x", "no metric called '2'"),
    ],
)
def test_mistakes(tmp_path, text, override, expected):
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text, override)
    assert expected in str(caught.value)
