"""The space group of a crystal, by spglib."""

from __future__ import annotations

import warnings

from crystalfw.core.crystal import Crystal


def space_group_number(crystal: Crystal, symprec: float = 0.1) -> int | None:
    """Space-group number by spglib at `symprec` angstrom; None if spglib finds none."""
    import spglib

    cell = (crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.numbers.tolist())
    failure = getattr(spglib, "SpglibError", ValueError)  # absent before 2.7, which returned None instead
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 2.7 announces on every call that it will raise
        try:
            dataset = spglib.get_symmetry_dataset(cell, symprec=symprec)
        except failure:
            return None
    return None if dataset is None else int(dataset.number)
