"""What a model was trained on, as ranges, and warnings for conditions outside of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.sample.conditions import typed_name


def training_ranges(n_atoms: NDArray[np.int64], columns: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Smallest and largest number of atoms and value of each property column of the train part, as JSON."""
    found = {name: values[np.isfinite(values)] for name, values in columns.items()}
    properties = {name: [float(v.min()), float(v.max())] for name, v in found.items() if len(v)}
    return {"atoms": [int(n_atoms.min()), int(n_atoms.max())], "properties": properties}


def warnings_outside(crystals: Sequence[Crystal], requires: frozenset[str], ranges: Mapping[str, Any]) -> list[str]:
    """One sentence for each kind of condition outside of the ranges; none for a model that does not know its ranges."""
    warned: dict[str, list[str]] = {}
    for crystal in crystals:
        for kind, sentence in _outside(crystal, requires, ranges):
            warned.setdefault(kind, []).append(sentence)
    more = {kind: f" (and {len(found) - 1:,} more conditions)" if len(found) > 1 else "" for kind, found in warned.items()}
    return [f"warning: {found[0]}{more[kind]}" for kind, found in warned.items()]


def _outside(crystal: Crystal, requires: frozenset[str], ranges: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    largest = ranges.get("atoms", (0, crystal.n_atoms))[1]
    if requires & {"composition", "geometry"} and crystal.n_atoms > largest:
        cell = f"{crystal.formula} has {crystal.n_atoms} atoms in the cell"
        yield "atoms", f"{cell}; the largest cell in training has {largest}"
    for name, (low, high) in ranges.get("properties", {}).items():
        value = crystal.properties.get(name, low)
        if f"properties.{name}" in requires and not low <= value <= high and not np.isnan(value):
            yield name, f"{typed_name(name)}={value:g} is outside of the training range, {low:g} to {high:g}"
