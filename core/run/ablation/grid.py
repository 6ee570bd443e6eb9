"""GRID.yaml -> cells: a base recipe, axes, seeds, and what is held equal.

base: xattn                                     # a recipe: a file in the grid's folder, otherwise an installed one
set: {data.path: data/perov_5, fit.steps: 2000} # for every cell
axes:
  conditioning:                                 # values by name, each a set of recipe keys
    additive: {model.conditioning: additive, model.decoder.name: gpt}
    cross attention: {model.conditioning: cross_attention, model.decoder.name: cross_attention_gpt}
  fit.lr: [1e-3, 3e-4]                          # or a recipe key and its values
exclude: [{conditioning: additive, fit.lr: 3e-4}]
seeds: [0, 1, 2]
equal: {parameters: {adjust: model.decoder.mlp_ratio}, minutes: 10}
baseline: {conditioning: additive}              # what the other cells are compared with; the first cell by default
measures: {val_loss: lower, match.strict.n=1: higher}    # otherwise val_loss and what the metrics show first
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crystalfw.core.errors import RecipeError, did_you_mean
from crystalfw.core.recipe.document import Mistakes, Node, Where, parse, read_document
from crystalfw.core.recipe.installed import find_base, find_recipe, installed_grids, installed_recipes

_KEYS = ("name", "base", "set", "axes", "exclude", "seeds", "equal", "baseline", "measures")


@dataclass(frozen=True, kw_only=True)
class EqualParameters:
    """Trainable parameters are made equal by adjusting one number of the recipe in every cell."""

    adjust: str = "model.decoder.mlp_ratio"
    """Recipe key of a number that parameters grow with."""
    within: float = 0.02
    """Largest deviation from the target, as a share."""
    target: int | None = None
    """Number of parameters; that of the first cell, unadjusted, when not given."""


@dataclass(frozen=True)
class Cell:
    """One combination of axis values."""

    values: Mapping[str, str]
    """Axis -> name of its value."""
    settings: Mapping[str, Any]
    """Recipe key -> value, the grid's `set` included."""

    @property
    def name(self) -> str:
        """`additive, pooled`, for tables."""
        return ", ".join(self.values.values()) or "base"

    def overrides(self) -> list[str]:
        """As the command line writes them; JSON is YAML."""
        return [f"{key}={json.dumps(value)}" for key, value in self.settings.items()]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A checked grid."""

    name: str
    base: str
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    equal_parameters: EqualParameters | None = None
    equal_tokens: bool = False
    minutes: float | None = None
    baseline: int = 0
    """Position of the cell that the others are compared with."""
    measures: Mapping[str, str] = field(default_factory=dict)
    """Measure -> `higher` or `lower`, what counts as better; empty takes the validation loss and the headline figures of
    the runs' metrics."""


def load_grid(path: str | Path, overrides: Sequence[str] = (), baseline: Sequence[str] = ()) -> Grid:
    """Read and check a grid, a file or the name of an installed one; raises RecipeError with every mistake at once.

    `overrides`, `a.b=c` as for a recipe, are laid over the grid's `set`; the axes' own keys stay. `baseline`, `axis=value`,
    replaces the grid's own.
    """
    path = _find(path)
    try:
        root = read_document(path, str(path))
        given = dict(_setting(text) for text in overrides)
    except Mistakes as error:
        raise RecipeError([f"{where}: {what}" for where, what in error.found]) from error
    return _Reader(path, root, given, dict(text.partition("=")[::2] for text in baseline)).grid()


def _setting(text: str) -> tuple[str, Any]:
    """`a.b=c` as key and value; raises Mistakes."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise Mistakes((Where(f"override {text}"), "write KEY=VALUE, for example data.path=crystals.csv"))
    return key.strip(), parse(value, f"override {text}", override=True).plain()


def _find(path: str | Path) -> Path:
    """The file: as given, or the grid of that name that came with crystalfw."""
    given = Path(path)
    if given.is_file():
        return given
    installed = installed_grids()
    if str(path) in installed:
        return installed[str(path)]
    raise RecipeError([f"{path}: no such grid file. {did_you_mean(str(path), installed, 'Installed grids')}"])


class _Reader:
    def __init__(self, path: Path, root: Node, overrides: Mapping[str, Any], baseline: Mapping[str, str]) -> None:
        self.path, self.overrides, self.baseline, self.mistakes = path, overrides, baseline, list[str]()
        content = root.plain()
        self.content: dict[str, Any] = content if isinstance(content, dict) else {}
        self.places = {key: str(node.where) for key, node in root.value.items()} if self.content else {}
        if not isinstance(content, dict):
            self.mistakes.append(f"{path}: a grid is a mapping with base, axes and seeds")

    def grid(self) -> Grid:
        self._keys(self.content, _KEYS, "")
        cells = self._cells()
        equal = self._mapping("equal", self.content.get("equal", {}))
        self._keys(equal, ("parameters", "tokens", "minutes"), "equal.")
        grid: dict[str, Any] = {
            "name": str(self.content.get("name", self.path.stem)),
            "base": self._base(),
            "cells": cells,
            "seeds": self._seeds(),
            "equal_parameters": self._parameters(equal),
            "equal_tokens": bool(equal.get("tokens", False)),
            "minutes": self._minutes(equal),
            "baseline": self._baseline(cells),
            "measures": self._measures(),
        }
        if self.mistakes:
            raise RecipeError(self.mistakes)
        return Grid(**grid)

    def _cells(self) -> tuple[Cell, ...]:
        common = {**self._mapping("set", self.content.get("set", {})), **self.overrides}
        axes = {name: self._axis(name, values) for name, values in self._mapping("axes", self.content.get("axes", {})).items()}
        excluded = self.content.get("exclude", [])
        if not isinstance(excluded, list) or not all(isinstance(item, dict) for item in excluded):
            self._wrong("exclude", "a list of {axis: value}")
            excluded = []
        for item in excluded:
            self._known_values("exclude", item, axes)
        cells = []
        for chosen in itertools.product(*axes.values()):
            values = {axis: label for axis, (label, _) in zip(axes, chosen, strict=True)}
            if any(_fits(values, item) for item in excluded):
                continue
            settings = dict(common)
            for _, keys in chosen:
                settings.update(keys)
            cells.append(Cell(values, settings))
        if not cells and not self.mistakes:
            self._say("exclude", "leaves no cell")
        return tuple(cells)

    def _axis(self, name: str, values: Any) -> list[tuple[str, dict[str, Any]]]:
        if isinstance(values, list) and values:
            return [(str(value), {name: value}) for value in values]
        if isinstance(values, dict) and values and all(isinstance(keys, dict) for keys in values.values()):
            return [(str(label), dict(keys)) for label, keys in values.items()]
        self._wrong(f"axes.{name}", "a list of values, or names with recipe keys: {name: {recipe.key: value}}")
        return [("?", {})]

    def _base(self) -> str:
        base = self.content.get("base")
        if not isinstance(base, str):
            self._wrong("base", "the name or file of a recipe")
            return ""
        found = find_base(base, self.path)
        if found is not None and (found not in installed_recipes().values() or Path(base).is_file()):
            return str(found)
        try:
            find_recipe(base)
        except RecipeError as error:
            self._say("base", error.mistakes[0])
        return base

    def _seeds(self) -> tuple[int, ...]:
        seeds = self.content.get("seeds", [0, 1, 2])
        whole = isinstance(seeds, list) and seeds and all(isinstance(seed, int) for seed in seeds)
        if not whole or len(set(seeds)) < len(seeds):
            self._wrong("seeds", "a list of different whole numbers")
            return ()
        return tuple(seeds)

    def _parameters(self, equal: Mapping[str, Any]) -> EqualParameters | None:
        given = equal.get("parameters", False)
        if given is False or given is None:
            return None
        options = {} if given is True else self._mapping("equal.parameters", given)
        self._keys(options, ("adjust", "within", "target"), "equal.parameters.")
        return EqualParameters(**{key: value for key, value in options.items() if key in ("adjust", "within", "target")})

    def _minutes(self, equal: Mapping[str, Any]) -> float | None:
        minutes = equal.get("minutes")
        if minutes is not None and (not isinstance(minutes, (int, float)) or minutes <= 0):
            self._wrong("equal.minutes", "minutes of training, above 0")
            return None
        return minutes

    def _baseline(self, cells: Sequence[Cell]) -> int:
        wanted = self.baseline or self._mapping("baseline", self.content.get("baseline", {}))
        found = [index for index, cell in enumerate(cells) if _fits(cell.values, wanted)]
        if not found and cells:
            self._say("baseline", f"no cell has {wanted}; cells: {'; '.join(cell.name for cell in cells)}")
        return found[0] if found else 0

    def _measures(self) -> dict[str, str]:
        measures = self._mapping("measures", self.content.get("measures", {}))
        for name, better in measures.items():
            if better not in ("higher", "lower"):
                self._wrong(f"measures.{name}", "`higher` or `lower`, what counts as better")
        return {str(name): str(better) for name, better in measures.items()}

    def _known_values(self, where: str, item: Mapping[str, Any], axes: Mapping[str, Any]) -> None:
        for axis, label in item.items():
            labels = [known for known, _ in axes.get(axis, [])]
            if str(label) not in labels:
                self._say(where, f"axis '{axis}' has no value '{label}'; it has {', '.join(labels) or 'none'}")

    def _keys(self, given: Mapping[str, Any], known: Sequence[str], prefix: str) -> None:
        for key in given:
            if key not in known:
                self._say(f"{prefix}{key}", f"there is no such key. {did_you_mean(str(key), known, 'Keys')}")

    def _mapping(self, where: str, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self._wrong(where, "a mapping")
        return {}

    def _wrong(self, where: str, wanted: str) -> None:
        self._say(where, f"must be {wanted}")

    def _say(self, where: str, what: str) -> None:
        place = self.places.get(where.split(".")[0], str(self.path))
        self.mistakes.append(f"{place}: {where}: {what}")


def _fits(values: Mapping[str, str], wanted: Mapping[str, Any]) -> bool:
    return all(values.get(axis) == str(label) for axis, label in wanted.items())
