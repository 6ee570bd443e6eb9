"""The recipe: YAML -> checked Recipe, with file and line of every mistake, and back to YAML with every key written out."""

from crystalfw.core.recipe.expand import expand, recipe_to_dict
from crystalfw.core.recipe.load import load_recipe

__all__ = ["expand", "load_recipe", "recipe_to_dict"]
