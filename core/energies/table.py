"""The table of relaxed crystals: one row for every crystal given, readable as a table of samples."""

from __future__ import annotations

import math
from dataclasses import replace

from crystalfw.core.crystal import Crystal
from crystalfw.core.crystal_forms import extxyz
from crystalfw.core.energies.relaxation import Relaxed
from crystalfw.core.system.bounded_text import printable

COLUMNS = (
    "id", "status", "reason", "formula", "n_atoms", "energy_per_atom", "energy_before", "steps", "fmax", "converged",
    "displacement", "volume_change", "space_group_before", "space_group", "reference_id", "cif",
)  # fmt: skip
STATUS = COLUMNS.index("status")
REASON = COLUMNS.index("reason")
MEANINGS = {
    "ok": "relaxed; the column `converged` is 0 where the steps did not suffice",
    "element": "the potential does not know an element",
    "time": "the time limit came first",
    "blown_up": "cell, positions or forces left what is physical",
    "failed": "the potential raised an error; the reason quotes it",
    "died": "the process died: out of memory, or a fault in a library",
}
"""Status -> what it means; any other status was the input's own."""


def relaxed_row(id: str, before: Crystal, outcome: Relaxed, reference_id: str = "") -> list[str]:
    """The row of one crystal; energies in eV per atom, forces in eV/angstrom, displacement in angstrom."""
    after = outcome.crystal
    return [
        id, outcome.status, printable(outcome.reason), before.formula, str(before.n_atoms), _number(outcome.energy, 6),
        _number(outcome.energy_before, 6), str(outcome.steps) if after is not None else "", _number(outcome.fmax, 4),
        str(int(outcome.converged)) if after is not None else "", _number(outcome.displacement, 4),
        _number(after.volume / before.volume - 1, 4) if after is not None else "", _group(before), _group(after),
        reference_id, after.cif() if after is not None else "",
    ]  # fmt: skip


def failed_row(id: str, status: str, reason: str, reference_id: str = "") -> list[str]:
    """The row of something given that is no crystal: its own status and reason."""
    row = dict.fromkeys(COLUMNS, "") | {"id": id, "status": status, "reason": reason, "reference_id": reference_id}
    return list(row.values())


def trajectory_text(id: str, outcome: Relaxed) -> str:
    """Every crystal of the way as extended XYZ, with its energy in eV."""
    frames = []
    for crystal, energy in outcome.path:
        head, comment, *atoms = extxyz(replace(crystal, id=id), id).splitlines()
        frames.append("\n".join([head, f"{comment} energy={energy:.8f}", *atoms]))
    return "\n".join(frames) + "\n"


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _group(crystal: Crystal | None) -> str:
    group = crystal.space_group if crystal is not None else None
    return "" if group is None else str(group.number)
