"""The tables that the delivered models are trained on, from a folder with mp_20, mpts_52, mp_elasticity.

    python benchmarks/model_tables.py DATA OUT

OUT/energies: mp_20 with the moduli of mp_elasticity, one row for each id, empty where a column is not known;
OUT/crystals: mp_20 with its unlabelled crystals of the train part;
OUT/known.csv.gz: train parts of mp_20 and mpts_52, and their unlabelled crystals of the train part, for a library.
Parts stay as they are: a formula is in one of them.
"""

from __future__ import annotations

import csv
import gzip
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

PARTS = ("train", "val", "test")
IDENTITY = ("material_id", "cif", "pretty_formula", "spacegroup.number")
SCALARS = ("formation_energy_per_atom", "band_gap", "e_above_hull", "bulk_modulus_vrh", "shear_modulus_vrh")
Row = dict[str, str]


def rows(path: Path) -> Iterator[Row]:
    """The rows of a gzip-compressed table."""
    with gzip.open(path, "rt", newline="") as file:
        yield from csv.DictReader(file)


def merged(tables: Iterable[Iterable[Row]]) -> dict[str, Row]:
    """One row for each id: the first table's crystal, and the scalars of all tables."""
    found: dict[str, Row] = {}
    for table in tables:
        for row in table:
            kept = found.setdefault(row["material_id"], {name: row[name] for name in IDENTITY})
            kept.update({name: row[name] for name in SCALARS if row.get(name) and not kept.get(name)})
    return found


def write(path: Path, table: Iterable[Row], scalars: tuple[str, ...]) -> int:
    """Write the table; returns its number of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, [*IDENTITY, *scalars], restval="", extrasaction="ignore")
        writer.writeheader()
        for count, row in enumerate(table, 1):  # noqa: B007
            writer.writerow(row)
    return count


def unlabelled(folder: Path) -> Iterator[Row]:
    """The rows without properties whose formula belongs to the train part."""
    return (row for row in rows(folder / "unlabelled.csv.gz") if row["part"] == "train")


def main(data: Path, out: Path) -> None:
    """Write both folders and print how many rows each part has."""
    for part in PARTS:
        labelled = data / "mp_20" / f"{part}.csv.gz"
        energies = merged([rows(labelled), rows(data / "mp_elasticity" / f"{part}.csv.gz")])
        print(f"energies/{part}: {write(out / 'energies' / f'{part}.csv.gz', energies.values(), SCALARS):,} rows")
        tables = [rows(labelled)]
        if part == "train":
            tables.append(unlabelled(data / "mp_20"))
        crystals = merged(tables).values()
        print(f"crystals/{part}: {write(out / 'crystals' / f'{part}.csv.gz', crystals, SCALARS[:3]):,} rows")
    mp = [table for name in ("mp_20", "mpts_52") for table in (rows(data / name / "train.csv.gz"), unlabelled(data / name))]
    print(f"known: {write(out / 'known.csv.gz', merged(mp).values(), ()):,} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
