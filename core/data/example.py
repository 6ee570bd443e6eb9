"""Files to try the commands on: NaCl.cif, and a table of small known crystals with a property."""

from __future__ import annotations

import csv
from itertools import islice
from pathlib import Path

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.recipe.options import create
from crystalfw.core.system.files import open_new_text

ROWS = 60
MOST_ATOMS = 8
CIF, TABLE = "NaCl.cif", "my_crystals.csv"
_GRAMS_PER_ATOMIC_UNIT = 1.66053906660e-24


def write_example(folder: Path) -> list[Path]:
    """Write both files and return them. Raises DataError where one is there already.

    The table has the columns material_id, cif and density (g/cm3); its crystals are the namesakes of AFLOW prototypes of at
    most eight atoms in the cell, as pymatgen ships them.
    """
    salt_path, table = folder / CIF, folder / TABLE
    for path in (salt_path, table):
        if path.exists():
            raise DataError(f"{path}: is there already; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    salt = Crystal(
        lattice=2.82 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]),
        frac_coords=np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]), numbers=np.array([11, 17]), id="NaCl",
    )  # fmt: skip
    salt.write(salt_path, symprec=0.01)
    source = create("source", "prototypes", {"max_atoms": MOST_ATOMS, "per_prototype": 0})
    with open_new_text(table) as stream:
        writer = csv.writer(stream)
        writer.writerow(["material_id", "cif", "density"])
        for crystal in islice(source.read("train"), ROWS):
            writer.writerow([crystal.id, crystal.cif(), f"{_density(crystal):.3f}"])
    return [salt_path, table]


def _density(crystal: Crystal) -> float:
    """g/cm3."""
    from pymatgen.core import Element

    mass = sum(float(Element.from_Z(int(number)).atomic_mass) for number in crystal.numbers)
    return mass * _GRAMS_PER_ATOMIC_UNIT / (crystal.volume * 1e-24)
