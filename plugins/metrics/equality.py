"""Which crystals are the same: groups within one set (uniqueness) and matches in another (novelty).

Only crystals of equal reduced composition are compared. A canonical key, where the representation has one, may decide
that two crystals are equal; only StructureMatcher decides that they are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.matcher import matcher
from crystalfw.core.timelimit import TimeLimitExceeded, time_limit
from crystalfw.core.workbench import Workbench
from crystalfw.plugins.metrics.geometry import Packed, by_composition, digest, pack
from crystalfw.plugins.metrics.matching import reduced

Key = Callable[[Crystal], str]


@dataclass
class Equality:
    """Outcome: per crystal the position of its equal (itself for the first of a group, or None), and how it was decided."""

    same_as: list[int | None]
    decided: Counter[str] = field(default_factory=Counter)
    """`key`, `matcher` (comparisons made), `timeout`, or the kind of error that the matcher raised."""


def group_equal(
    bench: Workbench, crystals: Sequence[Crystal], tolerance: str, limit: float, key: Key | None = None
) -> Equality:
    """For every crystal the first crystal of the set that it equals (itself when it is the first)."""
    buckets = [bucket for bucket in by_composition(crystals).values() if len(bucket) > 1]
    items = [([pack(crystals[i]) for i in bucket], _keys(crystals, bucket, key), tolerance, limit) for bucket in buckets]
    names = [f"group-2:{tolerance}:{limit:g}:{bool(key)}:{digest(*(crystals[i] for i in bucket))}" for bucket in buckets]
    result = Equality(list(range(len(crystals))))
    for bucket, (same_as, decided) in zip(buckets, bench.map("unique: formulas", _group, items, names), strict=True):
        result.decided.update(decided)
        for position, first in zip(bucket, same_as, strict=True):
            result.same_as[position] = bucket[first]
    return result


def find_equal(
    bench: Workbench,
    crystals: Sequence[Crystal],
    known: Sequence[Crystal],
    tolerance: str,
    limit: float,
    key: Key | None = None,
) -> Equality:
    """For every crystal the first of the known crystals that it equals, or None."""
    buckets, ours = by_composition(known), by_composition(crystals)
    result = Equality([None] * len(crystals))
    positions = [(i, buckets[formula]) for formula, members in ours.items() if formula in buckets for i in members]
    items, names = [], []
    for i, bucket in positions:
        others = [known[j] for j in bucket]
        keys = _keys([crystals[i], *others], range(len(others) + 1), key)
        items.append((pack(crystals[i]), [pack(other) for other in others], keys, tolerance, limit))
        names.append(f"find-1:{tolerance}:{limit:g}:{bool(key)}:{digest(crystals[i], *others)}")
    for (i, bucket), (found, decided) in zip(positions, bench.map("novel: samples", _find, items, names), strict=True):
        result.decided.update(decided)
        result.same_as[i] = None if found is None else bucket[found]
    return result


def _keys(crystals: Sequence[Crystal], positions: Sequence[int], key: Key | None) -> list[str]:
    """Canonical keys; an empty one decides nothing."""
    return [key(crystals[i]) if key is not None else "" for i in positions]


def _group(item: tuple[list[Packed], list[str], str, float]) -> tuple[list[int], dict[str, int]]:
    """Greedy groups in the order of the set, as pymatgen's group_structures: the first of each group, matched to the next."""
    packed, keys, tolerance, limit = item
    comparer = _Comparer(packed, keys, tolerance, limit)
    firsts: list[int] = []
    same_as = []
    for index in range(len(packed)):
        found = comparer.first_equal(index, firsts, turned=True)
        if found is None:
            firsts.append(index)
        same_as.append(index if found is None else found)
    return same_as, dict(comparer.decided)


def _find(item: tuple[Packed, list[Packed], list[str], str, float]) -> tuple[int | None, dict[str, int]]:
    sample, known, keys, tolerance, limit = item
    comparer = _Comparer([sample, *known], keys, tolerance, limit)
    found = comparer.first_equal(0, range(1, len(known) + 1))
    return (None if found is None else found - 1), dict(comparer.decided)


class _Comparer:
    """Compares crystals of one set by position; reduced structures are made once."""

    def __init__(self, packed: list[Packed], keys: list[str], tolerance: str, limit: float) -> None:
        self.packed, self.keys, self.limit = packed, keys, limit
        self.matcher = matcher(tolerance)
        self.decided: Counter[str] = Counter()
        self._reduced: dict[int, Any] = {}

    def first_equal(self, index: int, candidates: Sequence[int], *, turned: bool = False) -> int | None:
        """The first candidate that equals `index`: by key over all, then by the matcher.

        `turned` asks the matcher for (candidate, index): near its tolerance the answer depends on the order.
        """
        if self.keys[index]:
            for other in candidates:
                if self.keys[index] == self.keys[other]:
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
