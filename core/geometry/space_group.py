"""The space group's number of a crystal, by spglib."""

from __future__ import annotations

from crystalfw.core.crystal import Crystal
from crystalfw.core.crystal_forms import SYMPREC, space_group


def space_group_number(crystal: Crystal, symprec: float = SYMPREC) -> int | None:
    """Space-group number by spglib at `symprec` angstrom; None where spglib finds none."""
    found = space_group(crystal, symprec)
    return None if found is None else found.number
