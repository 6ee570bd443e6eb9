"""Structure formats: the format of a file, its division into structures, and text to Crystal."""

from __future__ import annotations

import contextlib
import json
import math
import re
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.geometry.cif import crystal_from_cif
from crystalfw.core.records import Record, Rejected

_SUFFIXES = {
    ".cif": "cif", ".mcif": "cif", ".vasp": "poscar", ".poscar": "poscar", ".json": "json", ".extxyz": "extxyz",
    ".xyz": "extxyz", ".db": "db",
}  # fmt: skip
_NAMES = re.compile(r"^(POSCAR|CONTCAR)([._-].*)?$", re.IGNORECASE)
MAX_ATOMS = 10_000
"""Atoms in one file's cell; more are refused before a parser is called."""


def format_of(name: str) -> str | None:
    """cif, poscar, json, extxyz or db by a file's name; None if it is something else (or hidden)."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    if base.startswith(".") or "__MACOSX" in name:
        return None
    if _NAMES.match(base):
        return "poscar"
    return next((kind for suffix, kind in _SUFFIXES.items() if base.lower().endswith(suffix)), None)


def split_text(kind: str, text: str) -> Iterator[tuple[int | None, str]]:
    """(row, text) of every structure in a file; row is None if the file holds one by its format."""
    if kind != "extxyz":
        yield None, text
        return
    lines = text.splitlines()
    start = row = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        count = int(lines[start]) if re.fullmatch(r"\s*\d{1,9}\s*", lines[start]) else -1
        row += 1
        if count < 1 or count > MAX_ATOMS or start + 2 + count > len(lines):
            # the start of the next frame is unknown: the rest is one rejected piece
            yield row, "\n".join(lines[start : start + 1])
            return
        yield row, "\n".join(lines[start : start + 2 + count])
        start += 2 + count


def parse_text(kind: str, text: str, id: str) -> Crystal:
    """The crystal of one structure's text; raises DataError with the reason."""
    parsers = {"cif": _cif, "poscar": _poscar, "json": pymatgen_json, "extxyz": _extxyz}
    return parsers[kind](text, id)


def _cif(text: str, id: str) -> Crystal:
    return crystal_from_cif(text, id=id)


def _poscar(text: str, id: str) -> Crystal:
    from pymatgen.io.vasp import Poscar

    _refuse_large(max(text.count("\n"), _poscar_atoms(text)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = Poscar.from_str(text).structure
    except Exception as error:
        # pymatgen raises many kinds of errors; the file is at fault, and the reason is kept
        raise DataError(f"broken POSCAR: {type(error).__name__}: {error}") from error
    return _from_structure(structure, id)


def _poscar_atoms(text: str) -> int:
    """The number of atoms that the counts of lines 6 and 7 add up to: pymatgen makes a list of that length before it checks."""
    lines = text.split("\n", 7)[5:7]
    words = [word for line in lines for word in line.split("!", 1)[0].split() if word.isdecimal()]
    return sum(int(word) if len(word) < 10 else 10**9 for word in words)


def pymatgen_json(text: str, id: str) -> Crystal:
    """A pymatgen Structure as JSON, read here: pymatgen's own decoder imports whatever module a file names."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"broken JSON: {error}") from error
    if not isinstance(plain, dict) or "lattice" not in plain or not isinstance(plain.get("sites"), list):
        raise DataError("not a pymatgen structure: the JSON needs 'lattice' and 'sites'")
    _refuse_large(len(plain["sites"]))
    try:
        lattice = np.array(plain["lattice"]["matrix"], dtype=np.float64).reshape(3, 3)
        frac = np.array([site["abc"] for site in plain["sites"]], dtype=np.float64).reshape(-1, 3)
        numbers = np.array([_site_number(site) for site in plain["sites"]], dtype=np.int64)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise DataError(f"broken pymatgen JSON: {type(error).__name__}: {error}") from error
    return Crystal(lattice=lattice, frac_coords=frac, numbers=numbers, id=id)


def _site_number(site: Any) -> int:
    species = site["species"]
    if len(species) != 1 or float(species[0]["occu"]) != 1:
        shares = ", ".join(f"{item['element']} {float(item['occu']):g}" for item in species)
        raise DataError(f"partial occupancy on site {site.get('label', '')} ({shares}); crystalfw needs ordered crystals")
    return _atomic_number(str(species[0]["element"]))


def _from_structure(structure: Any, id: str) -> Crystal:
    try:
        return Crystal.from_structure(structure, id=id)
    except AttributeError as error:
        raise DataError(f"broken structure: a site is not an element ({error})") from error


def _refuse_large(atoms: int) -> None:
    if atoms > MAX_ATOMS:
        raise DataError(f"too large: {atoms:,} atoms or lines, more than {MAX_ATOMS:,}")


_PAIR = re.compile(r"""(?<![\w.-])([\w.-]+)=("[^"]*"|'[^']*'|\S+)""")
"""Key and value; a key begins at the start of a word, since otherwise the time would grow with the square of a long word."""


def _extxyz(text: str, id: str) -> Crystal:
    """Extended XYZ, read here: Lattice="9 numbers", Properties=species:S:1:pos:R:3..., scalars on the second line."""
    lines = text.splitlines()
    if len(lines) < 3:
        raise DataError("broken extxyz: the number of atoms is missing, wrong, or followed by too few lines")
    entries = {key: value.strip("\"'") for key, value in _PAIR.findall(lines[1])}
    lattice = _numbers(entries.get("Lattice", ""), 9)
    if lattice is None:
        raise DataError('broken extxyz: no Lattice="..." with nine numbers on the second line')
    species, position = _columns(entries.get("Properties", "species:S:1:pos:R:3"))
    numbers, positions = [], []
    for line in lines[2:]:
        fields = line.split()
        coordinates = _numbers(" ".join(fields[position : position + 3]), 3)
        if coordinates is None or len(fields) <= species:
            raise DataError(f"broken extxyz: atom line {line[:60]!r}")
        numbers.append(_atomic_number(fields[species]))
        positions.append(coordinates)
    cell = np.array(lattice).reshape(3, 3)
    if not np.isfinite(cell).all() or abs(float(np.linalg.det(cell))) < 1e-9:
        raise DataError("flat cell: the lattice vectors span no volume")
    with np.errstate(all="ignore"):
        frac = np.array(positions) @ np.linalg.inv(cell)
    return Crystal(lattice=cell, frac_coords=frac, numbers=np.array(numbers), id=id, properties=_scalars(entries))


def _columns(properties: str) -> tuple[int, int]:
    """Places of the species and of the first coordinate in an atom line."""
    fields = properties.split(":")
    places, at = {}, 0
    for name, count in zip(fields[::3], fields[2::3], strict=False):
        places[name] = at
        at += int(count) if count.isdecimal() and len(count) < 7 else 1
    if "pos" not in places or not ("species" in places or "Z" in places):
        raise DataError("broken extxyz: Properties must name species (or Z) and pos")
    return places.get("species", places.get("Z", 0)), places["pos"]


def _numbers(text: str, count: int) -> list[float] | None:
    try:
        values = [float(item) for item in text.split()]
    except ValueError:
        return None
    return values if len(values) == count else None


def _atomic_number(symbol: str) -> int:
    from pymatgen.core import Element

    if symbol.isdecimal():
        return min(int(symbol[:9]), 1000)
    if not Element.is_valid_symbol(symbol):
        raise DataError(f"no such element: {symbol[:20]!r}")
    return int(Element(symbol).Z)


def _scalars(entries: Mapping[str, Any]) -> dict[str, float]:
    """Entries that are single finite numbers or booleans."""
    found = {}
    for key, value in entries.items():
        if isinstance(value, bool) or str(value) in ("T", "F", "True", "False"):
            found[key] = float(str(value) in ("T", "True"))
            continue
        with contextlib.suppress(ValueError, TypeError):
            number = float(value)
            if math.isfinite(number):
                found[key] = number
    return found


class UnreadableDatabaseError(DataError):
    """The file is not an ASE database, or is damaged."""


def database_rows(path: Path) -> Iterator[Record]:
    """Rows of an ASE database (sqlite) as records that hold crystals; key-value pairs that are numbers are properties."""
    try:
        import ase.db
    except ImportError as error:
        raise DataError(f"{path}: reading an ASE database needs ASE: pip install 'crystalfw[ase]'") from error
    try:
        with ase.db.connect(str(path)) as database:
            for row in database.select():
                yield Record(str(path), int(row.id), _database_crystal(path, row))
    except (sqlite3.DatabaseError, KeyError, ValueError, OSError) as error:
        raise UnreadableDatabaseError(f"{path}: not a readable ASE database: {error}") from error


def _database_crystal(path: Path, row: Any) -> Crystal | Rejected:
    id = str(row.get("material_id", f"{path.stem}-{row.id}"))
    try:
        properties = _scalars(dict(row.key_value_pairs))
        if "energy" in row:
            properties["energy"] = float(row.energy)
        return Crystal.from_atoms(row.toatoms(), id=id, properties=properties)
    except (DataError, ValueError, KeyError) as error:
        return Rejected(str(path), int(row.id), id, f"broken row: {error}")
