"""Which crystals are the same: groups within one set (uniqueness) and matches in another (novelty).

Only crystals of equal reduced composition are compared. A canonical key, where the representation has one, may decide
that two crystals are equal; only StructureMatcher decides that they are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal, IntArray
from crystalfw.core.evaluate.workbench import Question, Workbench
from crystalfw.core.geometry.matcher import matcher
from crystalfw.core.system.time_limit import TimeLimitExceeded, time_limit
from crystalfw.plugins.metrics.shared.geometry import Packed, digest, pack
from crystalfw.plugins.metrics.shared.matching import reduced
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

    def questions() -> Iterator[Question]:
        for group in shared:
            members = [crystals[i] for i in groups[group].tolist()]
            name = f"group-2:{tolerance}:{limit:g}:{bool(key)}:{digest(*members)}"
            yield name, ([pack(crystal) for crystal in members], key, tolerance, limit)

    result = Equality(np.arange(len(crystals)))
    answers = bench.map("unique: formulas", _group, questions(), len(shared))
    for group, (same_as, decided) in zip(shared, answers, strict=True):
        result.decided.update(decided)
        result.same_as[groups[group]] = groups[group][same_as]
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

    def questions() -> Iterator[Question]:
        read, others = -1, list[Crystal]()
        for i in asked.tolist():
            if group_of[i] != read:
                read, others = int(group_of[i]), [known[j] for j in groups[group_of[i]].tolist()]
            crystal = crystals[i]
            name = f"find-1:{tolerance}:{limit:g}:{bool(key)}:{digest(crystal, *others)}"
            yield name, (pack(crystal), [pack(other) for other in others], key, tolerance, limit)

    result = Equality(np.full(len(crystals), -1))
    answers = bench.map("novel: samples", _find, questions(), len(asked))
    for i, (found, decided) in zip(asked.tolist(), answers, strict=True):
        result.decided.update(decided)
        result.same_as[i] = -1 if found is None else groups[group_of[i]][found]
    return result


def _group(item: tuple[list[Packed], Key | None, str, float]) -> tuple[list[int], dict[str, int]]:
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


def _find(item: tuple[Packed, list[Packed], Key | None, str, float]) -> tuple[int | None, dict[str, int]]:
    sample, known, key, tolerance, limit = item
    comparer = _Comparer([sample, *known], key, tolerance, limit)
    found = comparer.first_equal(0, range(1, len(known) + 1))
    return (None if found is None else found - 1), dict(comparer.decided)


class _Comparer:
    """Compares crystals of one set by position; keys and reduced structures are made once."""

    def __init__(self, packed: list[Packed], key: Key | None, tolerance: str, limit: float) -> None:
        self.packed, self.key, self.limit = packed, key, limit
        self.matcher = matcher(tolerance)
        self.decided: Counter[str] = Counter()
        self._reduced: dict[int, Any] = {}
        self._keys: dict[int, str] = {}

    def first_equal(self, index: int, candidates: Sequence[int], *, turned: bool = False) -> int | None:
        """The first candidate that equals `index`: by key over all, then by the matcher.

        `turned` asks the matcher for (candidate, index): near its tolerance the answer depends on the order.
        """
        own = self._key(index)
        for other in candidates if own else ():
            if own == self._key(other):
                self.decided["key"] += 1
                return other
        pairs = ((other, index) if turned else (index, other) for other in candidates)
        return next((other for other, pair in zip(candidates, pairs, strict=True) if self._equal(*pair)), None)

    def _equal(self, index: int, other: int) -> bool:
        self.decided["matcher"] += 1
        try:
            with time_limit(self.limit):
                return bool(self.matcher.fit(self._get(index), self._get(other), skip_structure_reduction=True))
        except TimeLimitExceeded:
            self.decided["timeout"] += 1
        except Exception as error:
            self.decided[type(error).__name__] += 1
        return False

    def _get(self, index: int) -> Any:
        if index not in self._reduced:
            self._reduced[index] = reduced(self.packed[index])
        return self._reduced[index]

    def _key(self, index: int) -> str:
        """The canonical key; empty, which decides nothing, where there is none."""
        if self.key is None:
            return ""
        if index not in self._keys:
            lattice, frac_coords, numbers = self.packed[index]
            self._keys[index] = self.key(Crystal(lattice=lattice, frac_coords=frac_coords, numbers=numbers))
        return self._keys[index]
