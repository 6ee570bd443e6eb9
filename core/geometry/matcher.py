"""pymatgen's StructureMatcher at the two tolerances of the field: `loose` (CDVAE, DiffCSP), `strict` (pymatgen, MatterGen)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.analysis.structure_matcher import StructureMatcher

TOLERANCES: dict[str, tuple[float, float, float]] = {"loose": (0.3, 0.5, 10.0), "strict": (0.2, 0.3, 5.0)}
"""Name -> (ltol, stol, angle_tol in degrees)."""


@cache
def matcher(tolerance: str, *, primitive: bool = True) -> StructureMatcher:
    """The matcher of a tolerance: primitive cells, volumes scaled, no supercells (pymatgen's and the field's setting).

    `primitive=False` saves looking for the primitive cell, for crystals that are in theirs.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    ltol, stol, angle_tol = TOLERANCES[tolerance]
    return StructureMatcher(ltol=ltol, stol=stol, angle_tol=angle_tol, primitive_cell=primitive, scale=True)
