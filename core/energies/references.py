"""A table of known energies: id, composition or cif, energy or formation energy per atom; of any origin.

Shapes: R entries.
"""

from __future__ import annotations

import csv
import math
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.geometry.cif import crystal_from_cif
from crystalfw.core.system.bounded_text import bounded_lines, open_text

_IDS = ("id", "material_id", "ID", "mp_id", "entry_id")
_FORMULAS = ("composition", "formula", "pretty_formula", "reduced_formula", "formula_pretty")
_ENERGIES = {
    "energy_per_atom": "atoms", "corrected_energy_per_atom": "atoms", "formation_energy_per_atom": "elements",
    "formation_energy": "elements",
}  # fmt: skip
"""Column -> what has no energy: atoms (a total energy) or elements (a formation energy)."""
_MAX_FIELD = 16_000_000
_SUM = re.compile(r"^_chemical_formula_sum\s+['\"]?([^'\"\n]+)", re.MULTILINE)


@dataclass(frozen=True)
class Reference:
    """One known energy."""

    id: str
    amounts: tuple[tuple[int, float], ...]
    """(atomic number, share of the atoms), by atomic number."""
    energy: float
    """eV per atom."""

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers."""
        return frozenset(number for number, _ in self.amounts)


@dataclass(frozen=True)
class References:
    """All entries of one or several tables."""

    entries: Sequence[Reference]
    zero: str
    """`atoms` for total energies, `elements` for formation energies."""
    paths: tuple[Path, ...]
    skipped: tuple[str, ...] = ()
    """A sentence for each row without a usable composition or energy."""
    has_cifs: bool = False

    def crystals(self, ids: Collection[str]) -> dict[str, Crystal]:
        """The crystals of these entries whose CIF can be read; a second pass over the tables, since CIFs are large."""
        found: dict[str, Crystal] = {}
        for path in self.paths:
            for number, row in enumerate(_rows(path), start=1):
                id = _id(row, number)
                if id in ids and (row.get("cif") or "").strip():
                    try:
                        found[id] = crystal_from_cif(row["cif"], id=id)
                    except DataError:
                        continue  # what cannot be read is not compared: fewer than asked for
        return found


def read_references(paths: Sequence[str | Path], column: str = "") -> References:
    """The entries of all tables; `column` names the energies where the table has several.

    Raises DataError for a table without the columns, with tables that mix total and formation energies, and for an id that
    stands in two rows.
    """
    entries: list[Reference] = []
    skipped: list[str] = []
    first: dict[str, str] = {}
    zeros, cifs = set(), True
    for path in map(Path, paths):
        energies = ""
        for number, row in enumerate(_rows(path), start=1):
            energies = energies or _energy_column(path, row, column)
            cifs = cifs and "cif" in row
            id = _id(row, number)
            if id in first:
                raise DataError(
                    f"{path}, row {number}: the id {id!r} stands in {first[id]} too; every known energy needs an id of its own"
                )
            first[id] = f"{path}, row {number}"
            try:
                entries.append(Reference(id, amounts_of(row), _energy(row[energies])))
            except (ValueError, DataError) as error:
                skipped.append(f"{path}, row {number} (id {id}): {error}")
        if not energies:
            raise DataError(f"{path}: the table has no rows")
        zeros.add(_ENERGIES.get(energies, "elements" if "formation" in energies else "atoms"))
    if len(zeros) > 1:
        raise DataError("the tables of --energies mix total and formation energies; a hull needs one kind")
    if not entries:
        raise DataError(f"{paths[0]}: no row has a composition and an energy; the first: {skipped[0]}")
    return References(entries, zeros.pop(), tuple(map(Path, paths)), tuple(skipped), cifs)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if not path.is_file():
        raise DataError(f"{path}: no such table of energies")
    csv.field_size_limit(_MAX_FIELD)
    with open_text(path, errors="replace") as file:
        try:
            yield from csv.DictReader(bounded_lines(file, path))
        except (csv.Error, EOFError, OSError) as error:
            raise DataError(f"{path}: cannot be read on: {error}") from error


def _energy(text: str | None) -> float:
    value = float(text or "nan")
    if not math.isfinite(value):
        raise ValueError("no energy")
    return value


def _id(row: dict[str, str], number: int) -> str:
    return next((row[name] for name in _IDS if row.get(name)), f"row-{number}")


def _energy_column(path: Path, row: dict[str, str], column: str) -> str:
    there = ", ".join(row)
    if column:
        if column not in row:
            raise DataError(f"{path}: no column '{column}'; there are {there}")
        return column
    found = next((name for name in _ENERGIES if name in row), None)
    if found is None:
        raise DataError(
            f"{path}: no column of energies ({', '.join(_ENERGIES)}); name it with --energy-column. There are {there}"
        )
    if "cif" not in row and not any(name in row for name in _FORMULAS):
        raise DataError(f"{path}: no column {', '.join(_FORMULAS)} or cif says what the energies are of. There are {there}")
    return found


def amounts_of(row: dict[str, str]) -> tuple[tuple[int, float], ...]:
    """What a row is made of: from its formula, else from its CIF. Raises DataError."""
    formula = next((row[name] for name in _FORMULAS if (row.get(name) or "").strip()), "")
    if not formula:
        found = _SUM.search(row.get("cif") or "")
        if found is None:
            raise DataError("no formula, and no _chemical_formula_sum in a cif")
        formula = found[1]
    return _amounts(formula.strip())


@lru_cache(maxsize=100_000)
def _amounts(formula: str) -> tuple[tuple[int, float], ...]:
    from pymatgen.core import Composition

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # noble gases have no electronegativity, says pymatgen
            made = Composition(formula).fractional_composition
        return tuple(sorted((int(element.Z), float(share)) for element, share in made.items()))
    except Exception as error:  # pymatgen raises several kinds for text that is no formula
        raise DataError(f"{formula!r} is no composition") from error


def amounts_of_crystal(crystal: Crystal) -> tuple[tuple[int, float], ...]:
    """What a crystal is made of."""
    numbers = crystal.numbers.tolist()
    return tuple((z, numbers.count(z) / len(numbers)) for z in sorted(set(numbers)))
