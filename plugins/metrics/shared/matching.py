"""pymatgen's StructureMatcher on many pairs: in parallel, each pair under a time limit, every answer kept.

A pair that runs out of time, or on which the matcher fails, counts as not matching and is counted by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.geometry.matcher import TOLERANCES, matcher
from crystalfw.core.system.time_limit import TimeLimitExceeded, time_limit
from crystalfw.plugins.metrics.shared.geometry import Packed, digest, pack, unpack

if TYPE_CHECKING:
    from pymatgen.core import Structure

Pair = tuple[Crystal, Crystal]


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


def compare_pairs(bench: Workbench, label: str, pairs: Iterable[Pair], total: int, limit: float) -> Iterator[PairResult]:
    """get_rms_dist of every pair (first, second) at the loose and, where that matches, the strict tolerance."""
    questions = ((f"rms-1:{limit:g}:{digest(first, second)}", (pack(first), pack(second), limit)) for first, second in pairs)
    for loose, strict, trouble in bench.map(label, _compare, questions, total):
        yield PairResult({"loose": loose, "strict": strict}, trouble)


def _compare(item: tuple[Packed, Packed, float]) -> list[Any]:
    first, second, limit = item
    found: list[float | None] = [None, None]
    try:
        with time_limit(limit):
            one, other = unpack(first), unpack(second)
            for index, tolerance in enumerate(("loose", "strict")):
                distances = matcher(tolerance).get_rms_dist(one, other)
                if distances is None:
                    break  # what does not match loosely cannot match strictly: every strict mapping is a loose one
                found[index] = float(distances[0])
    except TimeLimitExceeded:
        return [None, None, "timeout"]
    except Exception as error:
        return [None, None, type(error).__name__]
    return [*found, ""]


def reduced(packed: Packed) -> Structure:
    """The Niggli-reduced primitive structure that the matcher compares; done once per crystal instead of once per pair."""
    return unpack(packed).get_reduced_structure(reduction_algo="niggli").get_primitive_structure()
