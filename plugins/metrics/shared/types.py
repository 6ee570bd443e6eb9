"""Symmetry of crystals, asked once for all metrics: space group, structure type, number of occupied Wyckoff positions.

A structure type is what stays of a crystal when its elements are forgotten: the counts of the reduced formula, the formula
units in the primitive cell, the space group, and the Wyckoff letters of the occupied orbits, up to the choice of origin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import Reject
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.library.entry import describe
from crystalfw.core.library.wyckoff import canonical_letters
from crystalfw.core.system.time_limit import TimeLimitExceeded, time_limit
from crystalfw.plugins.metrics.shared.geometry import Packed, digest, pack

SYMPREC = 0.1
"""Angstrom, as in the Materials Project's own space-group column."""
_SECONDS = 20.0


@dataclass(frozen=True)
class Types:
    """Of S crystals."""

    kind: NDArray[np.uint64]
    """(S,) a hash of the structure type; 0 where spglib finds no symmetry."""
    group: NDArray[np.int16]
    """(S,) space-group number; 0 where there is none."""
    orbits: NDArray[np.int16]
    """(S,) occupied Wyckoff positions; 0 where there is no symmetry."""


def types_of(bench: Workbench, crystals: Sequence[Crystal], label: str) -> Types:
    """Types of crystals, computed in parallel."""
    return bench.once("structure types", lambda: _types_of(bench, crystals, label), crystals)


def _types_of(bench: Workbench, crystals: Sequence[Crystal], label: str) -> Types:
    questions = ((f"type-1:{SYMPREC:g}:{digest(crystal)}", pack(crystal)) for crystal in crystals)
    found = Types(
        np.zeros(len(crystals), np.uint64), np.zeros(len(crystals), np.int16), np.zeros(len(crystals), np.int16)
    )  # fmt: skip
    for place, (name, group, orbits) in enumerate(bench.map(f"structure types: {label}", _type, questions, len(crystals))):
        if name:
            found.kind[place] = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") or 1
            found.group[place], found.orbits[place] = group, orbits
    return found


def _type(packed: Packed) -> list[Any]:
    lattice, frac_coords, numbers = packed
    try:
        with time_limit(_SECONDS):
            entry = describe(Crystal(lattice=lattice, frac_coords=frac_coords, numbers=numbers), SYMPREC)
    except (Reject, TimeLimitExceeded):
        return ["", 0, 0]
    letters = canonical_letters(entry.group, entry.letters)
    # elements of equal count have no order once they are forgotten
    slots = sorted(zip(entry.counts, letters, strict=True))
    return [repr((entry.units, entry.group, slots)), entry.group, sum(len(text) for text in entry.letters)]
