"""Conditions that nobody asks for, drawn from the training crystals: p(x) = sum over g of p(g) p(x | g) is the data's own.

g is mostly the space group: a string model seldom keeps one up on its own over a whole cell, and does when it is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import ConditionError
from crystalfw.core.model.assembly import property_columns
from crystalfw.core.retrieval.lookup import numbers_only
from crystalfw.core.sample.conditions import SPACE_GROUP, require_condition, typed_name

MOST_ROWS = 10_000
"""So many training crystals are remembered, evenly spread over the train part."""
NEAREST = 50
"""Where properties are asked for, the training crystals among which the rest is drawn."""
_STREAM = 0x6472
"""Keeps these draws apart from the tokens', whose streams are (seed, sample) too."""


def remembered(columns: Mapping[str, NDArray[np.float64]], requires: frozenset[str]) -> dict[str, Any]:
    """The columns that a model is conditioned on, of training crystals, for its checkpoint: names, and values (N, C)."""
    names = [name for name in property_columns(requires) if name in columns]
    if not names:
        return {}
    values_NC = np.stack([columns[name] for name in names], axis=1)
    step = max(1, -(-len(values_NC) // MOST_ROWS))
    return {"names": names, "values": torch.from_numpy(values_NC[::step].astype(np.float32))}


class Drawing:
    """Fills the conditions that are left open with those of a training crystal, drawn anew for each condition.

    Where properties are asked for, it is one of the NEAREST training crystals: distances in standard deviations of the columns.
    """

    def __init__(self, names: Sequence[str], known: Mapping[str, Any], requires: frozenset[str]) -> None:
        """Raises ConditionError for a column that the model is not asked by, or that its checkpoint does not remember."""
        self.columns = [SPACE_GROUP if name == "space_group" else name for name in names]
        self._names: list[str] = list(known.get("names", ()))
        for column in self.columns:
            require_condition(requires, [f"properties.{column}"])
            if column not in self._names:
                there = ", ".join(map(typed_name, self._names)) or "none"
                what = f"sample.drawn: the model remembers no {typed_name(column)} of its training crystals"
                raise ConditionError(f"{what}; it remembers {there}")
        self._values_NC = np.asarray(known["values"], dtype=np.float64)
        self._rows = lru_cache(maxsize=16)(self._suitable)  # most conditions of a request ask for the same

    def over(self, condition: Crystal | None, seed: int, number: int) -> Crystal:
        """Condition `number` of a request with its open columns filled; a function of the condition, seed and number alone."""
        crystal = condition if condition is not None else numbers_only(np.zeros(0, dtype=np.int64))
        asked = {name: value for name, value in crystal.properties.items() if not math.isnan(value)}
        rows = self._rows(tuple(asked.items()))
        if not len(rows):
            return crystal
        row = rows[np.random.default_rng([seed, number, _STREAM]).integers(len(rows))]
        drawn = {name: float(self._values_NC[row, self._names.index(name)]) for name in self.columns if name not in asked}
        return replace(crystal, properties={**crystal.properties, **drawn})

    def _suitable(self, asked: tuple[tuple[str, float], ...]) -> NDArray[np.int64]:
        """The training crystals to draw from: all that have the columns, or the nearest ones to what is asked."""
        wanted = {name: value for name, value in asked if name in self._names and name != SPACE_GROUP}
        needed = [self._names.index(name) for name in {*wanted, *self.columns}]
        rows = np.flatnonzero(np.isfinite(self._values_NC[:, needed]).all(axis=1))
        if not wanted or not len(rows):
            return rows
        own = self._values_NC[rows][:, [self._names.index(name) for name in wanted]]
        scale = np.where(own.std(axis=0) > 0, own.std(axis=0), 1.0)
        distance = (((own - list(wanted.values())) / scale) ** 2).sum(axis=1)
        return rows[np.argsort(distance, kind="stable")[:NEAREST]]
