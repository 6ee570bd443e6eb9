"""pymatgen's StructureMatcher on many pairs: in parallel, each pair under a time limit, every answer kept.

A crystal is reduced once for all comparisons and all metrics (`reduced_cells`); the comparison itself is compiled
(compiled_matcher.py). A pair that runs out of time, or on which something fails, counts as not matching and is counted by
name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import numpy as np

from crystalfw.core.crystal import Crystal, IntArray
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.geometry.matcher import TOLERANCES
from crystalfw.core.system.time_limit import TimeLimitExceeded, time_limit
from crystalfw.plugins.metrics.shared.compiled_matcher import compiled, rms_distance
from crystalfw.plugins.metrics.shared.geometry import Packed, digest, digest_of, pack, unpack

Cell: TypeAlias = "tuple[Packed | None, str]"
"""The reduced cell of a crystal, or None and why there is none: `timeout`, or the kind of error."""


def tolerance_record(name: str) -> dict[str, float]:
    """The tolerance's settings, for the protocol."""
    ltol, stol, angle_tol = TOLERANCES[name]
    return {"ltol": ltol, "stol": stol, "angle_tol": angle_tol}


@dataclass(frozen=True)
class PairResult:
    """Outcome of comparing two crystals."""

    rms: dict[str, float | None]
    """Tolerance -> displacement normalised by (V / N)^(1/3); None where they do not match."""
    trouble: str = ""
    """Empty, `timeout`, or the kind of error that the matcher raised."""


class Cells:
    """Reduced cells of some crystals of a sequence, by the crystal's position; they lie on disk."""

    def __init__(
        self, bench: Workbench, label: str, crystals: Sequence[Crystal], positions: IntArray | list[int], limit: float
    ) -> None:
        """Reduce the crystals at `positions`, which may repeat; each reduction has `limit` seconds."""
        self._positions = np.unique(np.asarray(positions, dtype=np.int64))

        def questions() -> Iterator[tuple[str, Any]]:
            for position in self._positions.tolist():
                crystal = crystals[position]
                yield f"reduced-1:{limit:g}:{digest(crystal)}", (pack(crystal), limit)

        self._cells = bench.spool(bench.map(f"reduced cells: {label}", _reduced, questions(), len(self._positions)))

    def __getitem__(self, position: int) -> Cell:
        """The cell of the crystal at this position of the sequence."""
        cell, trouble = self._cells[int(np.searchsorted(self._positions, position))]
        if cell is None:
            return None, trouble
        lattice, frac_coords, numbers = cell
        return (np.array(lattice), np.array(frac_coords), np.array(numbers)), ""


def cells_digest(cells: Iterable[Cell]) -> str:
    """A content hash of reduced cells, in this order."""
    return digest_of((cell or (np.frombuffer(trouble.encode(), np.uint8),)) for cell, trouble in cells)


def compare_pairs(
    bench: Workbench, label: str, pairs: Iterable[tuple[Cell, Cell]], total: int, limit: float
) -> Iterator[PairResult]:
    """get_rms_dist of every pair (first, second) at the loose and, where that matches, the strict tolerance."""
    questions = ((f"rms-2:{limit:g}:{cells_digest((one, other))}", (one, other, limit)) for one, other in pairs)
    for loose, strict, trouble in bench.map(label, _compare, questions, total):
        yield PairResult({"loose": loose, "strict": strict}, trouble)


def _compare(item: tuple[Cell, Cell, float]) -> list[Any]:
    (first, no_first), (second, no_second), limit = item
    if first is None or second is None:
        return [None, None, no_first or no_second]
    compiled()
    found: list[float | None] = [None, None]
    try:
        with time_limit(limit):
            for index, tolerance in enumerate(("loose", "strict")):
                found[index] = rms_distance(first, second, tolerance)
                if found[index] is None:
                    break  # what does not match loosely cannot match strictly: every strict mapping is a loose one
    except TimeLimitExceeded:
        return [None, None, "timeout"]
    except Exception as error:
        return [None, None, type(error).__name__]
    return [*found, ""]


def _reduced(item: tuple[Packed, float]) -> list[Any]:
    packed, limit = item
    try:
        with time_limit(limit):
            return [[array.tolist() for array in reduced(packed)], ""]
    except TimeLimitExceeded:
        return [None, "timeout"]
    except Exception as error:
        return [None, type(error).__name__]


def reduced(packed: Packed) -> Packed:
    """The Niggli-reduced primitive cell that StructureMatcher compares, as pymatgen finds it."""
    structure = unpack(packed).get_reduced_structure(reduction_algo="niggli")
    if reduce(math.gcd, np.unique(packed[2], return_counts=True)[1].tolist()) > 1:  # else the cell is primitive
        structure = structure.get_primitive_structure()
    numbers = np.array([site.specie.Z for site in structure], dtype=np.int64)
    return np.array(structure.lattice.matrix), np.array(structure.frac_coords), numbers
