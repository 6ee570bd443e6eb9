"""What a user asks for -> the crystals that the encoder reads, checked against what the model was trained with.

A condition is a Crystal that may be incomplete: without geometry (NaN lattice) when only a composition is given, without
atoms when only properties are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import ConditionError

SPACE_GROUP = "spacegroup.number"
MAX_ATOMS = 1_000
"""Atoms of a composition that is asked for."""


def parse_composition(text: Any) -> dict[str, int]:
    """Element counts of one cell from a formula such as SrTiO3 or a mapping; raises ConditionError."""
    from pymatgen.core import Composition

    try:
        amounts = Composition(text).get_el_amt_dict()
    except Exception as error:
        raise ConditionError(f"composition={text}: not a chemical formula ({error})") from error
    if not amounts or any(amount != round(amount) or amount <= 0 for amount in amounts.values()):
        raise ConditionError(f"composition={text}: give whole numbers of atoms per cell, e.g. SrTiO3")
    if sum(amounts.values()) > MAX_ATOMS:
        raise ConditionError(f"composition={text}: {sum(amounts.values()):g} atoms, more than {MAX_ATOMS:,} in a cell")
    return {str(element): int(amount) for element, amount in amounts.items()}


def condition_crystal(condition: Mapping[str, Any], requires: frozenset[str]) -> Crystal:
    """The crystal that stands for named conditions; raises ConditionError for one the model does not take."""
    from pymatgen.core import Element

    numbers: list[int] = []
    properties: dict[str, float] = {}
    asked = []
    for name, value in condition.items():
        if name == "composition":
            for symbol, count in parse_composition(value).items():
                numbers += [Element(symbol).Z] * count
            asked.append("composition")
        else:
            column = SPACE_GROUP if name in ("space_group", SPACE_GROUP) else name
            properties[column] = _number(name, value)
            asked.append(f"properties.{column}")
    require_condition(requires, asked)
    _check_complete(requires, set(asked))
    return Crystal(
        lattice=np.full((3, 3), math.nan), frac_coords=np.full((len(numbers), 3), math.nan),
        numbers=np.array(numbers, dtype=np.int64), properties=properties,
    )  # fmt: skip


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ConditionError(f"condition {name}={value}: a number is needed") from error
    if name in ("space_group", SPACE_GROUP) and number not in range(1, 231):
        raise ConditionError(f"condition {name}={value}: space groups are numbered 1 to 230")
    if not math.isfinite(number):
        raise ConditionError(f"condition {name}={value}: a finite number is needed")
    return number


def _check_complete(requires: frozenset[str], asked: set[str]) -> None:
    """Structures, compositions and arrays cannot be left out; single properties may be missing."""
    if "geometry" in requires:
        raise ConditionError("the model is conditioned on whole structures: give one with --like FILE")
    arrays = sorted(name for name in requires if name.startswith("arrays."))
    if arrays:
        raise ConditionError(
            f"the model is conditioned on embeddings ({', '.join(arrays)}): give a table with them by --like FILE"
        )
    if "composition" in requires and "composition" not in asked:
        raise ConditionError("the model is conditioned on the composition: give --condition composition=FORMULA as well")


def check_crystals(crystals: Sequence[Crystal], requires: frozenset[str], origin: str) -> None:
    """Raise ConditionError where given crystals lack what the encoder reads."""
    for name in sorted(requires):
        kind, _, key = name.partition(".")
        missing = [
            c.id or f"number {k}"
            for k, c in enumerate(crystals)
            if (kind == "arrays" and key not in c.arrays) or (kind in ("geometry", "composition") and not c.n_atoms)
        ]
        if missing:
            raise ConditionError(f"{origin}: {missing[0]} has no {key or kind}, which the model is conditioned on")
    if not crystals:
        raise ConditionError(f"{origin}: holds no crystal to take the condition from")


def describe(crystal: Crystal, requires: frozenset[str]) -> dict[str, Any]:
    """The condition of one sample as it stands in samples.csv."""
    described: dict[str, Any] = {}
    if requires & {"composition", "geometry"} and crystal.n_atoms:
        described["composition"] = crystal.formula
    if "geometry" in requires:
        described["like"] = crystal.id
    for name in sorted(requires):
        kind, _, key = name.partition(".")
        if kind == "properties" and math.isfinite(crystal.properties.get(key, math.nan)):
            described[key] = crystal.properties[key]
        elif kind == "arrays":
            described[key] = crystal.id
    return described


def require_condition(requires: frozenset[str], asked: Sequence[str]) -> None:
    """Raise ConditionError for a condition that a model with these `requires` was not trained with."""
    for name in asked:
        satisfied = name in requires or (name == "composition" and "geometry" in requires)
        if not satisfied:
            known = ", ".join(sorted(requires)) or "nothing (it is unconditional)"
            raise ConditionError(f"the model was not trained for the condition '{name}'; it takes {known}")
