"""Crystals of a table as CIF files and extended XYZ."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path

from crystalfw.core.crystal_forms import extxyz as extxyz
from crystalfw.core.geometry.cif import crystal_from_cif
from crystalfw.core.records import Sample
from crystalfw.core.sample.table import read_rows
from crystalfw.core.system.files import digest


def write_cifs(table: str | Path, folder: str | Path, symprec: float | None = None) -> int:
    """One CIF file per crystal of a table, named by its id; returns how many.

    The text as it stands in the table; with `symprec` (angstrom) in the cell and with the symmetry found at that tolerance.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for row in read_rows(table):
        if row["cif"].strip():
            text = row["cif"] if symprec is None else crystal_from_cif(row["cif"]).cif(symprec)
            (folder / f"{safe_name(row['id'])}.cif").write_text(text, encoding="utf-8")
            count += 1
    return count


def write_extxyz(samples: Iterable[Sample], path: str | Path) -> int:
    """All crystals in one extended XYZ file (Cartesian, angstrom), readable by ASE and OVITO; returns how many."""
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        for sample in samples:
            if sample.crystal is not None:
                file.write(extxyz(sample.crystal, sample.id))
                count += 1
    return count


def write_lemat(samples: Iterable[Sample], path: str | Path) -> int:
    """The crystals as LeMat-GenBench takes them (`--csv`): columns material_id and structure, pymatgen's JSON; returns how
    many. Samples without a crystal have no row, because that benchmark drops rows that it cannot read: count them here.

    Source: the README of the benchmark's repository, arXiv 2512.04562.
    """
    count = 0
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["material_id", "structure"])
        for sample in samples:
            if sample.crystal is not None:
                writer.writerow([sample.id, json.dumps(sample.crystal.structure.as_dict())])
                count += 1
    return count


def safe_name(id: str) -> str:
    """The id as a file name: ASCII letters, digits, dot, dash and underscore; never empty, hidden or a path.

    An id that has to be changed gets a few digits of its hash, so that two ids never share a file.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", id).lstrip(".")[:120]
    if name == id and name:
        return name
    return f"{name or '_'}-{digest(id.encode(errors='surrogatepass'))[:8]}"
