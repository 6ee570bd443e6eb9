"""Relaxed crystals of each formula by energy, with what is there twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from crystalfw.core.crystal import Crystal
from crystalfw.core.geometry.cif import crystal_from_cif
from crystalfw.core.geometry.matcher import matcher
from crystalfw.core.system.time_limit import TimeLimitExceeded, time_limit

COLUMNS = ("formula", "rank", "id", "energy_per_atom", "above_lowest", "converged", "space_group", "duplicate_of")
_WINDOW = 0.02
"""eV/atom: equal crystals, relaxed by the same potential, have energies this near."""
_SECONDS = 20.0
"""For one comparison; what takes longer counts as different."""


@dataclass
class _Ranked:
    row: Mapping[str, str]
    energy: float
    crystal: Crystal
    twin: str = ""


def ranked(rows: Iterable[Mapping[str, str]]) -> Iterator[list[str]]:
    """Rows of `COLUMNS` for rows of a table of relaxed crystals: by formula, the lowest energy first.

    A crystal equal to one of lower energy (pymatgen's StructureMatcher at its own tolerances, energies within 20 meV/atom)
    names it as `duplicate_of` and takes no rank.
    """
    for formula, group in sorted(_by_formula(rows).items()):
        kept: list[_Ranked] = []
        for one in sorted(group, key=lambda one: (one.energy, one.row["id"])):
            one.twin = next((other.row["id"] for other in kept if _same(one, other)), "")
            if not one.twin:
                kept.append(one)
            rank = "" if one.twin else str(len(kept))
            yield [
                formula, rank, one.row["id"], one.row["energy_per_atom"], f"{one.energy - kept[0].energy:.6f}",
                one.row["converged"], one.row["space_group"], one.twin,
            ]  # fmt: skip


def _by_formula(rows: Iterable[Mapping[str, str]]) -> dict[str, list[_Ranked]]:
    found: dict[str, list[_Ranked]] = defaultdict(list)
    for row in rows:
        if row["status"] == "ok" and row["cif"]:
            crystal = crystal_from_cif(row["cif"], id=row["id"])
            found[row["formula"]].append(_Ranked(row, float(row["energy_per_atom"]), crystal))
    return found


def _same(one: _Ranked, other: _Ranked) -> bool:
    if abs(one.energy - other.energy) > _WINDOW:
        return False
    try:
        with time_limit(_SECONDS):
            return bool(matcher("strict").fit(one.crystal.structure, other.crystal.structure))
    except TimeLimitExceeded:
        return False
