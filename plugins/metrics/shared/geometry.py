"""Crystals as plain arrays that travel between processes, their content digest, and counting helpers of the metrics."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal, FloatArray, IntArray

if TYPE_CHECKING:
    from pymatgen.core import Structure

Packed = tuple[FloatArray, FloatArray, IntArray]
"""Lattice rows (3, 3) in angstrom, fractional coordinates (N, 3), atomic numbers (N,)."""


def pack(crystal: Crystal) -> Packed:
    """The geometry alone."""
    return crystal.lattice, crystal.frac_coords, crystal.numbers


def unpack(packed: Packed) -> Structure:
    """The geometry as a pymatgen Structure."""
    from pymatgen.core import Lattice, Structure

    lattice, frac_coords, numbers = packed
    return Structure(Lattice(lattice), numbers.tolist(), frac_coords)


def digest(*crystals: Crystal) -> str:
    """A content hash of exact geometries, in this order."""
    return digest_of(map(pack, crystals))


def digest_of(groups: Iterable[Iterable[NDArray[Any]]]) -> str:
    """A content hash of arrays, in this order."""
    content = hashlib.sha1(usedforsecurity=False)
    for arrays in groups:
        for array in arrays:
            content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


def reduced_composition(crystal: Crystal) -> tuple[tuple[int, int], ...]:
    """((atomic number, count), ...) divided by the greatest common divisor: equal for equal reduced formulas."""
    numbers, counts = np.unique(crystal.numbers, return_counts=True)
    divisor = reduce(math.gcd, counts.tolist(), 0) or 1
    return tuple((int(number), int(count) // divisor) for number, count in zip(numbers, counts, strict=True))


def wilson(count: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson's score interval); (0, 1) where nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    share, spread = count / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def share(count: int, total: int) -> dict[str, float | int | None]:
    """A count with its denominator, share and 95 % interval, as JSON."""
    low, high = wilson(count, total)
    return {"count": count, "of": total, "share": count / total if total else None, "low": low, "high": high}


def mean(values: Sequence[float]) -> float | None:
    """Arithmetic mean; None of nothing."""
    return math.fsum(values) / len(values) if values else None
