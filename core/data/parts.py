"""Train, val or test: by formula, so that a formula is never in two parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.system.files import digest


def assign_part(part: str, crystal: Crystal, cut: Sequence[tuple[str, float]]) -> str:
    """The part of a crystal: the source's own, or one cut out of train by a hash of the reduced formula.

    The hash does not depend on the seed or on the other crystals: a formula is always on the same side.
    """
    if part != "train":
        return part
    place = formula_hash(crystal)
    for name, share in cut:
        if place < share:
            return name
        place -= share
    return "train"


def formula_hash(crystal: Crystal) -> float:
    """A number in [0, 1) from the reduced formula, the same everywhere and always."""
    numbers, counts = np.unique(crystal.numbers, return_counts=True)
    divisor = math.gcd(*(int(count) for count in counts))
    text = ",".join(f"{z}:{n // divisor}" for z, n in zip(numbers.tolist(), counts.tolist(), strict=True))
    return int(digest(text.encode())[:16], 16) / 2**64
