"""The tables that the delivered models are trained on, from a folder with mp_20, mpts_52, mp_elasticity.

    python benchmarks/model_tables.py DATA OUT
    crystalfw predict-properties mp-energies OUT/unlabelled.csv.gz -o predicted.csv
    python benchmarks/model_tables.py DATA OUT predicted.csv

OUT/energies: mp_20 with the moduli of mp_elasticity, one row for each id, empty where a column is not known;
OUT/formation_energy: mp_20, and in the train part mpts_52, whose energies agree (1,600 crystals in both: 99.6 % equal);
OUT/unlabelled.csv.gz: crystals of mp_20's train part without properties;
OUT/crystals: mp_20 with these, their formation energy and band gap as a predictor says where predictions are given;
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


def filled(table: Iterable[Row], predictions: Path | None) -> Iterator[Row]:
    """The rows, with formation energy and band gap of `predictions` where they have none; no gap is below zero."""
    said: dict[str, Row] = {}
    if predictions is not None:
        with predictions.open(newline="") as file:
            said = {row["id"]: row for row in csv.DictReader(file)}
    for row in table:
        if (guess := said.get(row["material_id"])) and not row.get("band_gap"):
            gap = max(0.0, float(guess["band_gap"]))
            row = {**row, "formation_energy_per_atom": guess["formation_energy_per_atom"], "band_gap": str(gap)}
        yield row


def main(data: Path, out: Path, predictions: Path | None = None) -> None:
    """Write the folders and print how many rows each part has."""
    bare = unlabelled(data / "mp_20")
    print(f"unlabelled: {write(out / 'unlabelled.csv.gz', bare, ()):,} rows")
    for part in PARTS:
        sources = [data / "mp_20", *([data / "mpts_52"] if part == "train" else [])]
        own = merged(rows(source / f"{part}.csv.gz") for source in sources)
        count = write(out / "formation_energy" / f"{part}.csv.gz", own.values(), SCALARS[:1])
        print(f"formation_energy/{part}: {count:,} rows")
        labelled = data / "mp_20" / f"{part}.csv.gz"
        energies = merged([rows(labelled), rows(data / "mp_elasticity" / f"{part}.csv.gz")])
        print(f"energies/{part}: {write(out / 'energies' / f'{part}.csv.gz', energies.values(), SCALARS):,} rows")
        tables = [rows(labelled)]
        if part == "train":
            tables.append(unlabelled(data / "mp_20"))
        crystals = filled(merged(tables).values(), predictions)
        print(f"crystals/{part}: {write(out / 'crystals' / f'{part}.csv.gz', crystals, SCALARS[:3]):,} rows")
    mp = [table for name in ("mp_20", "mpts_52") for table in (rows(data / name / "train.csv.gz"), unlabelled(data / name))]
    print(f"known: {write(out / 'known.csv.gz', merged(mp).values(), ()):,} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
