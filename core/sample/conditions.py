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
from crystalfw.core.errors import ConditionError, did_you_mean
from crystalfw.core.powder.line_table import ARRAY, measured_lines

SPACE_GROUP = "spacegroup.number"
PATTERN = "pattern"
"""A measured powder pattern, given by its file."""
MAX_ATOMS = 1_000
"""Atoms of a composition that is asked for."""


def parse_composition(text: Any) -> dict[str, int]:
    """Element counts of one cell from a formula such as SrTiO3 or a mapping; raises ConditionError."""
    from pymatgen.core import Composition, Element

    try:
        amounts = Composition(text).get_el_amt_dict()
    except Exception as error:
        raise ConditionError(f"composition={text}: not a chemical formula ({error})") from error
    unknown = [symbol for symbol in amounts if not Element.is_valid_symbol(symbol)]
    if unknown:  # pymatgen takes symbols that begin with X for placeholders
        raise ConditionError(f"composition={text}: '{unknown[0]}' is not an element")
    if not amounts or any(amount != round(amount) or amount <= 0 for amount in amounts.values()):
        raise ConditionError(f"composition={text}: give whole numbers of atoms per cell, e.g. SrTiO3")
    if sum(amounts.values()) > MAX_ATOMS:
        raise ConditionError(f"composition={text}: {sum(amounts.values()):g} atoms, more than {MAX_ATOMS:,} in a cell")
    return {str(element): int(amount) for element, amount in amounts.items()}


def condition_crystal(
    condition: Mapping[str, Any], requires: frozenset[str], optional: frozenset[str] = frozenset()
) -> Crystal:
    """The crystal that stands for named conditions; raises ConditionError for one the model does not take, and where one is
    missing that is not `optional`."""
    from pymatgen.core import Element

    numbers: list[int] = []
    properties: dict[str, float] = {}
    arrays: dict[str, Any] = {}
    asked = []
    for name, value in condition.items():
        if name == "composition":
            for symbol, count in parse_composition(value).items():
                numbers += [Element(symbol).Z] * count
            asked.append("composition")
        elif name == PATTERN:
            require_condition(requires, [f"arrays.{ARRAY}"])
            arrays[ARRAY] = measured_lines(str(value))
            asked.append(f"arrays.{ARRAY}")
        else:
            column = SPACE_GROUP if name in ("space_group", SPACE_GROUP) else name
            require_condition(requires, [f"properties.{column}"])  # a misspelt name first, then its value
            properties[column] = _number(name, value)
            asked.append(f"properties.{column}")
    require_condition(requires, asked)
    _check_complete(requires - optional, set(asked))
    return Crystal(
        lattice=np.full((3, 3), math.nan), frac_coords=np.full((len(numbers), 3), math.nan),
        numbers=np.array(numbers, dtype=np.int64), properties=properties, arrays=arrays,
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
    if "geometry" in requires or any(name.startswith("arrays.") and name not in asked for name in requires):
        raise ConditionError(what_to_give(requires))
    if "composition" in requires and "composition" not in asked:
        raise ConditionError("the model is conditioned on the composition: give --condition composition=FORMULA as well")


def what_to_give(requires: frozenset[str]) -> str:
    """One sentence: what a model with these `requires` is conditioned on, and how a user gives it."""
    like = "--like FILE"
    arrays = sorted(name.removeprefix("arrays.") for name in requires if name.startswith("arrays."))
    if arrays == [ARRAY] and "geometry" not in requires:
        more = " --condition composition=FORMULA" if "composition" in requires else ""
        return f"the model is conditioned on a powder pattern: give --condition {PATTERN}=FILE.xy{more}"
    if arrays:
        return (
            f"the model is conditioned on embeddings ({', '.join(arrays)}): give a table with them by {like} (in Python: like=)"
        )
    if "geometry" in requires:
        return (
            f"the model is conditioned on whole crystals: give a CIF file, a table or a folder with {like} (in Python: like=)"
        )
    examples = ["composition=FORMULA"] if "composition" in requires else []
    examples += [f"{name}=VALUE" for name in _typed(requires - {"composition"})]
    named = " and ".join(example.partition("=")[0] for example in examples)
    options = " ".join(f"--condition {example}" for example in examples)
    return f"the model is conditioned on {named}: give {options}, or {like} (in Python: condition= or like=)"


def _typed(requires: frozenset[str]) -> list[str]:
    """The names that a user types: columns without the prefix of the contract."""
    return sorted(typed_name(name.removeprefix("properties.").removeprefix("arrays.")) for name in requires)


def typed_name(column: str) -> str:
    """A property column as a user types it."""
    return {SPACE_GROUP: "space_group", ARRAY: PATTERN}.get(column, column)


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
            typed = typed_name(name.removeprefix("properties.").removeprefix("arrays."))
            if not requires:
                raise ConditionError(f"the model was not trained for the condition '{typed}': it is unconditional")
            hint = did_you_mean(typed, _typed(requires), "It takes")
            raise ConditionError(f"the model was not trained for the condition '{typed}'. {hint}")
