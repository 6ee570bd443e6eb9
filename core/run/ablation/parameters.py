"""Equal parameters: one number of each cell's recipe is searched so that the trainable parameters agree."""

from __future__ import annotations

import json
from collections.abc import Sequence

from crystalfw.core.errors import RecipeError
from crystalfw.core.recipe import load_recipe
from crystalfw.core.run.ablation.grid import Cell, EqualParameters

_SEARCHES = 30
_FACTOR = 64.0
"""The adjusted number may grow or shrink by this much."""


def count_parameters(base: str, overrides: Sequence[str]) -> int:
    """Trainable parameters of the recipe's generator; raises RecipeError where the parts do not fit."""
    from crystalfw.core.model.assembly import build, build_generator
    from crystalfw.core.model.generator import parameter_counts

    recipe = load_recipe(base, overrides)
    return parameter_counts(build_generator(recipe, build("representation", recipe.representation)))["total"]


def equalise(base: str, cells: Sequence[Cell], equal: EqualParameters) -> list[Cell]:
    """The cells with the adjusted key set; raises RecipeError for cells that cannot come close enough."""
    target = equal.target or count_parameters(base, cells[0].overrides())
    adjusted, mistakes = [], []
    for cell in cells:
        value, count = _search(base, cell, equal, target)
        if abs(count - target) > equal.within * target:
            mistakes.append(
                f"{cell.name}: {count:,} parameters with {equal.adjust}={value:g} is the nearest to {target:,}; "
                f"allowed is {equal.within:.0%}. Adjust another key, or change the cell's size"
            )
        adjusted.append(Cell(cell.values, {**cell.settings, equal.adjust: value}))
    if mistakes:
        raise RecipeError(mistakes)
    return adjusted


def _search(base: str, cell: Cell, equal: EqualParameters, target: int) -> tuple[float, int]:
    """The value whose parameter count is nearest to the target, by bisection on a logarithmic scale."""
    start = _current(base, cell, equal.adjust)
    low, high = start / _FACTOR, start * _FACTOR
    tried: dict[float, int] = {}

    def count(value: float) -> int:
        if value not in tried:
            tried[value] = count_parameters(base, [*cell.overrides(), f"{equal.adjust}={json.dumps(value)}"])
        return tried[value]

    value = start
    for _ in range(_SEARCHES):
        found = count(value)
        if abs(found - target) <= 0.1 * equal.within * target:
            break
        low, high = (value, high) if found < target else (low, value)
        value = _rounded((low * high) ** 0.5, start)
        if value in tried:
            break
    nearest = min(tried, key=lambda candidate: abs(tried[candidate] - target))
    return nearest, tried[nearest]


def _current(base: str, cell: Cell, key: str) -> float:
    """The key's value in the cell's recipe; raises RecipeError where it is no number."""
    from crystalfw.core.recipe import recipe_to_dict

    value: object = recipe_to_dict(load_recipe(base, cell.overrides()))
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise RecipeError([f"{cell.name}: equal.parameters.adjust: {key} is {value!r}, not a number above 0"])
    return value


def _rounded(value: float, like: float) -> float:
    return max(1, round(value)) if isinstance(like, int) else round(value, 4)
