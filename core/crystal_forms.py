"""How a crystal is named and written: one line, space group, the text of a file.

Functions of anything with the attributes of `Crystal`, which offers them as methods; this file stands below crystal.py.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import DataError

if TYPE_CHECKING:
    from crystalfw.core.crystal import Crystal

SYMPREC = 0.1
"""Distance in angstrom up to which an atom counts as being on its symmetric place."""
MOST_ATOMS_NAMED = 200
"""In larger cells spglib takes seconds: their one line leaves the space group out."""
ENDINGS = ".cif, .vasp (or a name that begins with POSCAR), .extxyz, .json"


class SpaceGroup(NamedTuple):
    """A space group by its Hermann-Mauguin symbol and its number in the International Tables."""

    symbol: str
    number: int

    def __str__(self) -> str:
        return f"{self.symbol} ({self.number})"


def lattice_to_parameters(lattice: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths (..., 3) and angles alpha, beta, gamma (..., 3) of lattice rows (..., 3, 3)."""
    lattice = np.asarray(lattice, dtype=np.float64)
    lengths = np.linalg.norm(lattice, axis=-1)
    angles = []
    for first, second in ((1, 2), (0, 2), (0, 1)):
        u, v = lattice[..., first, :], lattice[..., second, :]
        # atan2 keeps full precision near 0 and 180 degrees, where arccos loses half of the digits
        cross = np.linalg.norm(np.cross(u, v), axis=-1)
        angles.append(np.rad2deg(np.arctan2(cross, np.sum(u * v, axis=-1))))
    return lengths, np.stack(angles, axis=-1)


def space_group(crystal: Crystal, symprec: float = SYMPREC) -> SpaceGroup | None:
    """Space group by spglib at `symprec` angstrom; None where spglib finds none."""
    dataset = symmetry_dataset(crystal, symprec)
    return None if dataset is None else SpaceGroup(str(dataset.international), int(dataset.number))


def symmetry_dataset(crystal: Crystal, symprec: float = SYMPREC) -> Any:
    """What spglib finds (its `SpglibDataset`), or None."""
    return spglib_call("get_symmetry_dataset", crystal, symprec=symprec)


def spglib_call(name: str, crystal: Crystal, **options: Any) -> Any:
    """What a function of spglib that takes a cell says of a crystal; None where it finds nothing."""
    import spglib

    if not crystal.n_atoms or not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()):
        return None
    cell = (crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.numbers.tolist())
    failure = getattr(spglib, "SpglibError", ValueError)  # absent before 2.7, which returned None instead
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 2.7 announces on every call that it will raise
        try:
            return getattr(spglib, name)(cell, **options)
        except failure:
            return None


def one_line(crystal: Crystal) -> str:
    """`NaCl, 2 atoms, Fm-3m, V=48.4`; what cannot be found is left out, since this also describes broken crystals."""
    words = []
    if crystal.n_atoms and crystal.numbers.min() >= 1 and crystal.numbers.max() <= 118:
        words.append(crystal.formula)
    words.append(f"{crystal.n_atoms} atom{'' if crystal.n_atoms == 1 else 's'}")
    group = space_group(crystal) if crystal.n_atoms <= MOST_ATOMS_NAMED else None
    words += [group.symbol] if group else []
    words.append(f"V={crystal.volume:.1f}" if np.isfinite(crystal.lattice).all() else "V=nan")
    return ", ".join([*words, *([f"id={crystal.id}"] if crystal.id else [])])


def file_text(crystal: Crystal, path: Path) -> str:
    """What a file of this name holds, by its ending. Raises DataError for an ending that is not known."""
    name = path.name.lower()
    if name.endswith(".cif"):
        return crystal.cif()
    if name.endswith((".vasp", ".poscar")) or name.startswith(("poscar", "contcar")):
        from pymatgen.io.vasp import Poscar

        return str(Poscar(crystal.structure.get_sorted_structure()).get_str(significant_figures=10))
    if name.endswith((".extxyz", ".xyz")):
        return extxyz(crystal, crystal.id)
    if name.endswith(".json"):
        return json.dumps(crystal.structure.as_dict()) + "\n"
    raise DataError(f"{path}: its ending names no format; crystals are written as {ENDINGS}")


def symmetrised_cif(crystal: Crystal, symprec: float) -> str:
    """CIF text in the conventional cell, with the symmetry operations found at `symprec` angstrom, which its head states.

    The atoms are moved onto their symmetric places. Text in P1 where spglib finds no symmetry.
    """
    group = space_group(crystal, symprec)
    if group is None or group.number == 1:
        return f"# P1: no symmetry found with symprec = {symprec:g} angstrom (spglib)\n{crystal.cif()}"
    from pymatgen.io.cif import CifWriter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = str(CifWriter(crystal.structure, symprec=symprec))
    return f"# {group} found with symprec = {symprec:g} angstrom (spglib); atoms moved onto their symmetric places\n{text}"


def extxyz(crystal: Crystal, id: str) -> str:
    """One frame of extended XYZ (Cartesian, angstrom)."""
    from pymatgen.core import Element

    cell = " ".join(f"{value:.10g}" for value in crystal.lattice.ravel())
    label = "".join(character for character in id if character.isprintable() and character not in '"\\')
    symbols = {number: Element.from_Z(number).symbol for number in set(crystal.numbers.tolist())}
    lines = [str(crystal.n_atoms), f'Lattice="{cell}" Properties=species:S:1:pos:R:3 id="{label}" pbc="T T T"']
    for number, (x, y, z) in zip(crystal.numbers.tolist(), crystal.cart_coords, strict=True):
        lines.append(f"{symbols[number]:2s} {x:16.10f} {y:16.10f} {z:16.10f}")
    return "\n".join(lines) + "\n"
