"""Which crystals are the same: groups within one set (uniqueness) and matches in another (novelty).

Only crystals of equal reduced composition are compared. A canonical key, where the representation has one, may decide
that two crystals are equal; only StructureMatcher decides that they are not.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal, IntArray
from crystalfw.core.evaluate.workbench import Question, Workbench
from crystalfw.core.system.time_limit import TimeLimitExceeded, time_limit
from crystalfw.plugins.metrics.shared.compiled_matcher import compiled, fits
from crystalfw.plugins.metrics.shared.geometry import Packed, digest, pack
from crystalfw.plugins.metrics.shared.matching import Cell, Cells, cells_digest
from crystalfw.plugins.metrics.shared.population import Groups, compositions

Key = Callable[[Crystal], str]


@dataclass
class Equality:
    """Outcome: which crystal each equals, and how that was decided."""

    same_as: IntArray
    """(S,) position of the equal crystal: the crystal itself for the first of a group, -1 where there is none."""
    decided: Counter[str] = field(default_factory=Counter)
    """`key`, `matcher` (comparisons made), `timeout`, or the kind of error that the matcher raised."""


def group_equal(
    bench: Workbench, crystals: Sequence[Crystal], tolerance: str, limit: float, key: Key | None = None
) -> Equality:
    """For every crystal the first crystal of the set that it equals (itself when it is the first)."""
    groups = Groups(compositions(bench, crystals))
    shared = np.flatnonzero(groups.sizes > 1).tolist()
    members = [groups[group] for group in shared]
    asked = np.concatenate([np.zeros(0, dtype=np.int64), *members])
    cells, keys = Cells(bench, "samples", crystals, asked, limit), keys_of(bench, crystals, asked, key, "samples")

    def questions() -> Iterator[Question]:
        for places in members:
            yield _question("group-3", [cells[i] for i in places.tolist()], keys[places], tolerance, limit)

    result = Equality(np.arange(len(crystals)))
    answers = bench.map("unique: formulas", _group, questions(), len(shared))
    for places, (same_as, decided) in zip(members, answers, strict=True):
        result.decided.update(decided)
        result.same_as[places] = places[same_as]
    return result


def find_equal(
    bench: Workbench,
    crystals: Sequence[Crystal],
    known: Sequence[Crystal],
    tolerance: str,
    limit: float,
    key: Key | None = None,
) -> Equality:
    """For every crystal the first of the known crystals that it equals, or -1."""
    groups, codes = Groups(compositions(bench, known)), compositions(bench, crystals)
    group_of = groups.find(codes)
    # by formula, so that its known crystals are read once
    asked = np.flatnonzero(group_of >= 0)
    asked = asked[np.argsort(group_of[asked], kind="stable")]
    others = np.concatenate([np.zeros(0, dtype=np.int64), *(groups[group] for group in np.unique(group_of[asked]).tolist())])
    ours, theirs = Cells(bench, "samples", crystals, asked, limit), Cells(bench, "known crystals", known, others, limit)
    own_keys, their_keys = keys_of(bench, crystals, asked, key, "samples"), keys_of(bench, known, others, key, "known crystals")

    def questions() -> Iterator[Question]:
        read, places, cells = -1, np.zeros(0, dtype=np.int64), list[Cell]()
        for i in asked.tolist():
            if group_of[i] != read:
                read = int(group_of[i])
                places = groups[read]
                cells = [theirs[j] for j in places.tolist()]
            keys = np.append(own_keys[i], their_keys[places])
            yield _question("find-2", [ours[i], *cells], keys, tolerance, limit)

    result = Equality(np.full(len(crystals), -1))
    answers = bench.map("novel: samples", _find, questions(), len(asked))
    for i, (found, decided) in zip(asked.tolist(), answers, strict=True):
        result.decided.update(decided)
        result.same_as[i] = -1 if found is None else groups[group_of[i]][found]
    return result


def keys_of(
    bench: Workbench, crystals: Sequence[Crystal], positions: IntArray, key: Key | None, label: str
) -> NDArray[np.uint64]:
    """(S,) a hash of the canonical key of the crystals at `positions`; 0 for the others, and where there is none."""
    found = np.zeros(len(crystals), dtype=np.uint64)
    if key is None:
        return found
    wanted = np.unique(positions).tolist()

    def questions() -> Iterator[Question]:
        for position in wanted:
            crystal = crystals[position]
            yield f"key-1:{key!r}:{digest(crystal)}", (pack(crystal), key)

    found[wanted] = np.fromiter(bench.map(f"strings: {label}", _key, questions(), len(wanted)), np.uint64, len(wanted))
    return found


def _key(item: tuple[Packed, Key]) -> int:
    (lattice, frac_coords, numbers), key = item
    text = key(Crystal(lattice=lattice, frac_coords=frac_coords, numbers=numbers))
    return (int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") or 1) if text else 0


def _question(kind: str, cells: list[Cell], keys: NDArray[np.uint64], tolerance: str, limit: float) -> Question:
    numbers = keys.tolist()
    name = f"{kind}:{tolerance}:{limit:g}:{numbers if any(numbers) else ''}:{cells_digest(cells)}"
    return name, (cells, numbers, tolerance, limit)


def _group(item: tuple[list[Cell], list[int], str, float]) -> tuple[list[int], dict[str, int]]:
    """Greedy groups in the order of the set, as pymatgen's group_structures: the first of each group, matched to the next."""
    comparer = _Comparer(*item)
    firsts: list[int] = []
    same_as = []
    for index in range(len(item[0])):
        found = comparer.first_equal(index, firsts, turned=True)
        if found is None:
            firsts.append(index)
        same_as.append(index if found is None else found)
    return same_as, dict(comparer.decided)


def _find(item: tuple[list[Cell], list[int], str, float]) -> tuple[int | None, dict[str, int]]:
    """Which of the others equals the first cell."""
    comparer = _Comparer(*item)
    found = comparer.first_equal(0, range(1, len(item[0])))
    return (None if found is None else found - 1), dict(comparer.decided)


class _Comparer:
    """Compares crystals of one set by position."""

    def __init__(self, cells: list[Cell], keys: list[int], tolerance: str, limit: float) -> None:
        self.cells, self.keys, self.tolerance, self.limit = cells, keys, tolerance, limit
        self.decided: Counter[str] = Counter()
        compiled()

    def first_equal(self, index: int, candidates: Sequence[int], *, turned: bool = False) -> int | None:
        """The first candidate that equals `index`: by key over all, then by the matcher.

        `turned` asks the matcher for (candidate, index): near its tolerance the answer depends on the order.
        """
        own = self.keys[index]
        for other in candidates if own else ():
            if own == self.keys[other]:
                self.decided["key"] += 1
                return other
        pairs = ((other, index) if turned else (index, other) for other in candidates)
        return next((other for other, pair in zip(candidates, pairs, strict=True) if self._equal(*pair)), None)

    def _equal(self, index: int, other: int) -> bool:
        self.decided["matcher"] += 1
        (first, no_first), (second, no_second) = self.cells[index], self.cells[other]
        if first is None or second is None:
            self.decided[no_first or no_second] += 1
            return False
        try:
            with time_limit(self.limit):
                return fits(first, second, self.tolerance)
        except TimeLimitExceeded:
            self.decided["timeout"] += 1
        except Exception as error:
            self.decided[type(error).__name__] += 1
        return False
