"""Is a crystal an exchange of a known one: the same arrangement with other elements?

Candidates are the known crystals of the same anonymous formula, nearest by average minimum distances, which see neither
elements nor cells. pymatgen's StructureMatcher decides (`fit_anonymous`): a slightly distorted exchange is one, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal, FloatArray
from crystalfw.core.evaluate.workbench import Question, Workbench
from crystalfw.core.system.time_limit import TimeLimitExceeded, time_limit
from crystalfw.plugins.metrics.shared.compiled_matcher import compiled, fits_anonymous
from crystalfw.plugins.metrics.shared.fingerprints import NEIGHBOURS, average_minimum_distances
from crystalfw.plugins.metrics.shared.geometry import reduced_composition
from crystalfw.plugins.metrics.shared.matching import Cell, Cells, cells_digest
from crystalfw.plugins.metrics.shared.population import Groups


@dataclass(frozen=True)
class Exchanges:
    """Of S crystals."""

    same_as: NDArray[np.int64]
    """(S,) position of the known crystal that it is an exchange of; -1 where none was found."""
    timeouts: int


def minimum_distances(bench: Workbench, crystals: Sequence[Crystal], label: str) -> FloatArray:
    """(S, NEIGHBOURS) average minimum distances, NaN where there are none; worked out once."""

    def compute() -> FloatArray:
        found = np.full((len(crystals), NEIGHBOURS), np.nan, dtype=np.float32)
        for place, crystal in enumerate(bench.track(f"distances: {label}", crystals, len(crystals))):
            found[place] = average_minimum_distances(crystal)
        return found  # type: ignore[return-value]

    return bench.once("minimum distances", compute, crystals)


def anonymous(crystals: Sequence[Crystal]) -> NDArray[np.uint64]:
    """(S,) a hash of the counts of each reduced formula, its elements forgotten."""
    found = np.zeros(len(crystals), dtype=np.uint64)
    for place, crystal in enumerate(crystals):
        counts = sorted(count for _, count in reduced_composition(crystal))
        found[place] = int.from_bytes(hashlib.blake2b(repr(counts).encode(), digest_size=8).digest(), "little")
    return found


def find_exchanges(
    bench: Workbench, crystals: Sequence[Crystal], known: Sequence[Crystal], tolerance: str, nearest: int, limit: float
) -> Exchanges:
    """For every crystal a known one that it is an exchange of, among the `nearest` candidates."""
    codes = bench.once("anonymous", lambda: anonymous(known), known)
    groups, ours = Groups(codes), anonymous(crystals)
    distances, theirs = minimum_distances(bench, crystals, "samples"), minimum_distances(bench, known, "known crystals")
    candidates: list[list[int]] = []
    for place, group in enumerate(groups.find(ours).tolist()):
        members = groups[group] if group >= 0 else np.zeros(0, dtype=np.int64)
        apart = np.nan_to_num(np.abs(theirs[members] - distances[place]).max(-1), nan=np.inf) if len(members) else np.zeros(0)
        order = np.argsort(apart, kind="stable")[:nearest]
        candidates.append(members[order[np.isfinite(apart[order])]].tolist())
    asked = [place for place, found in enumerate(candidates) if found]
    known_asked = sorted({other for found in candidates for other in found})
    cells, others = Cells(bench, "samples", crystals, asked, limit), Cells(bench, "known crystals", known, known_asked, limit)

    def questions() -> Iterator[Question]:
        for place in asked:
            compared = [cells[place], *(others[other] for other in candidates[place])]
            yield f"exchange-2:{tolerance}:{limit:g}:{cells_digest(compared)}", (compared, tolerance, limit)

    result, timeouts = np.full(len(crystals), -1), 0
    answers = bench.map("exchanges: samples", _find, questions(), len(asked))
    for place, (found, late) in zip(asked, answers, strict=True):
        timeouts += late
        if found is not None:
            result[place] = candidates[place][found]
    return Exchanges(result, timeouts)


def _find(item: tuple[list[Cell], str, float]) -> tuple[int | None, int]:
    """Position of the first candidate with the same arrangement as the first cell, and how many comparisons were late."""
    ((own, why), *candidates), tolerance, limit = item
    compiled()
    late = 0
    for place, (other, other_why) in enumerate(candidates):
        if own is None or other is None:  # a cell that cannot be reduced: that is no exchange to show
            late += "timeout" in (why, other_why)
            continue
        try:
            with time_limit(limit):
                if fits_anonymous(own, other, tolerance):
                    return place, late
        except TimeLimitExceeded:
            late += 1
    return None, late
