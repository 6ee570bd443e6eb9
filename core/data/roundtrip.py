"""Round trip: the share of crystals that are recovered from their strings, and why the others are not.

Equality is pymatgen's StructureMatcher at the two tolerances of the field (core/geometry/matcher.py).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from crystalfw.core.crystal import Crystal
from crystalfw.core.geometry.matcher import TOLERANCES, matcher
from crystalfw.core.system.progress import Progress
from crystalfw.core.system.wording import counted

if TYPE_CHECKING:
    from crystalfw.core.interfaces import Representation

BATCH = 64
"""Crystals that are encoded and decoded together."""
NO_MATCH = "decoded, but another crystal"


def round_trip(crystals: Sequence[Crystal], representation: Representation) -> Counter[str]:
    """Counts of `strict`, `loose` (but not strictly), and of each reason of failure; they add up to len(crystals)."""
    counts: Counter[str] = Counter()
    progress = Progress("round trips", len(crystals))
    for start in range(0, len(crystals), BATCH):
        block = crystals[start : start + BATCH]
        encoded = representation.encode(block)
        strings = [outcome.string for outcome in encoded if outcome.ok]
        decoded = iter(representation.decode(strings))
        for crystal, outcome in zip(block, encoded, strict=True):
            if not outcome.ok:
                counts[f"no string: {outcome.reason.split(':')[0]}"] += 1
                continue
            back = next(decoded)
            counts[f"no crystal: {back.reason}" if back.crystal is None else _equal(crystal, back.crystal)] += 1
        progress.update(start + len(block))
    progress.close()
    return counts


def _equal(one: Crystal, other: Crystal) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns for elements without electronegativity
        first, second = one.structure, other.structure
        for name in ("strict", "loose"):
            if matcher(name).fit(first, second):
                return name
    return NO_MATCH


def summary(counts: Counter[str]) -> list[str]:
    """The counts in sentences: shares with one denominator, then the reasons."""
    total = counts.total()
    strict, loose = counts["strict"], counts["strict"] + counts["loose"]
    lines = [f"round trip of {counted(total, 'crystal')}: {strict / total:.1%} come back strictly, {loose / total:.1%} loosely"]
    failures = [(reason, count) for reason, count in counts.most_common() if reason not in TOLERANCES]
    return lines + [f"  {count:>7,}  {reason}" for reason, count in failures]
