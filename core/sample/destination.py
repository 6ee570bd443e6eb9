"""Where crystals go, by the ending of `-o`: a table with a folder of CIF files, or one file of all crystals beside a table.

| -o | table | crystals |
|---|---|---|
| `out.csv` | out.csv | out_cifs/ |
| `out/`, or a name without an ending | out/samples.csv | out/cifs/ |
| `out.cif`, `out.extxyz`, `out.xyz`, `out.json` | out.csv | the file itself |

The table is always written: it states the reason of every failure, and the same command continues from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crystalfw.core.crystal import Crystal
from crystalfw.core.crystal_forms import extxyz
from crystalfw.core.errors import DataError
from crystalfw.core.geometry.cif import crystal_from_cif
from crystalfw.core.sample.export import write_cifs
from crystalfw.core.sample.table import read_rows
from crystalfw.core.system.files import open_atomically
from crystalfw.core.system.wording import counted

FILES = (".cif", ".extxyz", ".xyz", ".json")
"""Endings of one file that holds all crystals."""


@dataclass(frozen=True)
class Destination:
    """The table, and the folder of CIF files or the file for the crystals."""

    table: Path
    crystals: Path


def destination(out: str | Path) -> Destination:
    """What `-o out` means. Raises DataError for an ending that names no format."""
    path, text = Path(out), str(out)
    ending = path.suffix.lower()
    if path.is_dir() or text.endswith(("/", "\\")) or not ending:
        return Destination(path / "samples.csv", path / "cifs")
    if ending == ".csv":
        return Destination(path, cif_folder(path))
    if ending in FILES:
        return Destination(path.with_suffix(".csv"), path)
    raise DataError(f"-o {text}: its ending names no format; give .csv, {', '.join(FILES)}, or a folder (FOLDER/)")


def cif_folder(table: Path) -> Path:
    """cifs/ beside samples.csv, STEM_cifs/ beside a table of another name."""
    return table.with_name("cifs" if table.name == "samples.csv" else f"{table.stem}_cifs")


def write_crystals(table: Path, place: Path, symprec: float | None = None) -> str:
    """The crystals of a table as `place` says; returns what was written, for the screen.

    `symprec` (angstrom): CIF files with symmetry operations found at this tolerance; otherwise in P1.
    """
    if place.suffix.lower() not in FILES:
        return f"{counted(write_cifs(table, place, symprec), 'CIF file')} in {place}"
    count = 0
    with open_atomically(place) as file:
        if place.suffix.lower() == ".json":
            file.write(b"[")
        for crystal in crystals_of(table):
            if place.suffix.lower() == ".cif":
                text = crystal.cif(symprec).replace("data_", f"data_{_block_name(crystal.id)}_", 1)
            elif place.suffix.lower() == ".json":
                document = {"material_id": crystal.id, "structure": crystal.structure.as_dict()}
                text = (",\n" if count else "\n") + json.dumps(document)
            else:
                text = extxyz(crystal, crystal.id)
            file.write(text.encode())
            count += 1
        if place.suffix.lower() == ".json":
            file.write(b"\n]\n")
    return f"{counted(count, 'crystal')} in {place}"


def crystals_of(table: Path) -> Iterator[Crystal]:
    """The crystals of a table, with the ids of their rows."""
    for row in read_rows(table):
        if row["cif"].strip():
            yield crystal_from_cif(row["cif"], id=row["id"])


def _block_name(id: str) -> str:
    return "".join(character if character.isalnum() or character in "-." else "-" for character in id)[:60]
