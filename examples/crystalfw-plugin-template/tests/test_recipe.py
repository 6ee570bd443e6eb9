"""The recipe beside this package names only what is there."""

from pathlib import Path

from crystalfw.core.recipe import load_recipe


def test_recipe():
    recipe = load_recipe(Path(__file__).parents[1] / "recipe.yaml")
    assert (recipe.model.encoder.name, recipe.model.conditioning.name, recipe.model.decoder.name) == ("schnet", "film", "lstm")
    assert "strain" in [transform.name for transform in recipe.transforms]
