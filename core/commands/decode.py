"""Strings to crystals: a table with one row for every string of the input.

  crystalfw decode strings.csv -o decoded.csv
  crystalfw decode strings.csv -o decoded.csv --cif-dir cifs --workers 8
  crystalfw decode published.sli -o decoded.extxyz        one file of all crystals, and decoded.csv
  crystalfw decode strings.csv -o relaxed.csv --relax --potential chgnet     relaxed as by `crystalfw relax`

INPUT is a CSV (or .csv.gz) with a column `slices` (another with --column) and, where there is one, a column `id`; or a
text file (.txt, .sli) with a string on every line. Columns out: id, status, reason, residual, cif; status is ok or the
representation's name for the failure, residual the mean relative error of the bond lengths. With --relax the columns are
those of `crystalfw relax` (energies among them), and this table stands beside it as NAME.decoded.csv. The same command
continues where an interrupted one stopped.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

from crystalfw.core.commands._rows import modules, run_rows, summary
from crystalfw.core.commands._workers import add_worker_arguments
from crystalfw.core.commands.parser import OUT_HELP, add_out, add_symprec
from crystalfw.core.commands.relax import add_limits, add_potential, relax_into, settings_of
from crystalfw.core.crystal_forms import SYMPREC
from crystalfw.core.data.executor import chunks
from crystalfw.core.energies.open import open_potential
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Representation
from crystalfw.core.recipe.options import create
from crystalfw.core.sample.destination import destination, write_crystals
from crystalfw.core.sample.export import safe_name, write_cifs
from crystalfw.core.system.bounded_text import bounded_lines, open_text
from crystalfw.core.system.files import file_digest
from crystalfw.core.system.resumable_csv import RowFile

COLUMNS = ("id", "status", "reason", "residual", "cif")
EMPTY = "empty"
_CHUNK = 128
_MAX_FIELD = 16_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw decode`."""
    parser.add_argument("input", help="CSV with a column of strings, or a text file with a string on every line")
    add_out(parser, "OUT", OUT_HELP, required=True)
    add_symprec(parser)
    parser.add_argument("--cif-dir", metavar="FOLDER", help="also write every crystal as FOLDER/ID.cif")
    parser.add_argument("--column", default="slices", help="the column with the strings (default slices)")
    parser.add_argument("--symmetrise", action="store_true", help="put every crystal onto its space group (spglib)")
    parser.add_argument("--relax", action="store_true", help="then relax every crystal with --potential")
    add_potential(parser)
    add_limits(parser)
    parser.add_argument("--representation", default="slices", help="which representation (default slices)")
    add_worker_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Decode; 0 also where some strings give no crystal: their rows say why."""
    options = {"symmetrise": True} if args.symmetrise else {}
    if args.relax:
        open_potential(args.potential)
    # says what is wrong before anything is read
    representation = create("representation", args.representation, options)
    path = Path(args.input)
    place = destination(args.out)
    decoded = place.table.with_name(f"{place.table.stem}.decoded.csv") if args.relax else place.table
    folder = Path(args.cif_dir) if args.cif_dir and not args.relax else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    request = {
        "input": file_digest(path), "column": args.column, "representation": args.representation, "options": options,
        "cif_dir": args.cif_dir,
    }  # fmt: skip
    with RowFile(decoded, COLUMNS, request, block=_CHUNK) as out:
        rows = read_strings(path, args.column)
        packed = json.dumps([args.representation, options])
        calls = ((packed, chunk) for chunk in chunks(islice(rows, out.skip, None), _CHUNK))
        before = out.done
        counts = run_rows(
            "decode", out, decode_strings, calls, status=1, workers=args.workers, executor=args.executor,
            preload=modules(representation), total=_count(path, args.column),
            before=None if folder is None else lambda rows: _write_cifs(rows, folder),
        )  # fmt: skip
    print(f"{decoded}: {summary(counts)}" + (f"; {before:,} rows were there already" if before else ""))
    if args.relax:
        relax_into(place.table, [str(decoded)], args.potential, settings_of(args), workers=args.workers)
        print(f"{place.table}: relaxed")
    symprec = args.symprec or (SYMPREC if args.symmetrise else None)
    if Path(args.out) != place.table:  # a table alone keeps its crystals in its column cif
        print(write_crystals(place.table, place.crystals, symprec))
    if args.cif_dir and (args.relax or symprec is not None):
        written = write_cifs(place.table, args.cif_dir, symprec)
        print(f"{written:,} CIF files in {args.cif_dir}")
    return 0


def read_strings(path: Path, column: str) -> Iterator[tuple[str, str]]:
    """(id, string) of every row, streamed; the row number where there is no id. Raises DataError."""
    if path.suffix in (".txt", ".sli"):
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(bounded_lines(file, path), start=1):
                yield str(number), line.strip()
        return
    csv.field_size_limit(_MAX_FIELD)
    with open_text(path, errors="replace") as file:
        reader = csv.DictReader(bounded_lines(file, path))
        names = reader.fieldnames or []
        if column not in names:
            raise DataError(f"{path}: no column '{column}'; there are {', '.join(names) or 'none'} (choose with --column)")
        try:
            for number, row in enumerate(reader, start=1):
                yield row.get("id") or row.get("material_id") or str(number), (row[column] or "").strip()
        except (csv.Error, EOFError, OSError) as error:
            raise DataError(f"{path}: cannot be read on: {error}") from error


def _count(path: Path, column: str) -> int | None:
    """Rows of the input, for the time left; None where it breaks off: the rows before it are decoded all the same."""
    try:
        return sum(1 for _ in read_strings(path, column))
    except DataError:
        return None


@lru_cache(maxsize=2)
def _representation(packed: str) -> Representation:
    name, options = json.loads(packed)
    representation: Representation = create("representation", name, options)
    return representation


def decode_strings(packed: str, rows: list[tuple[str, str]]) -> list[list[str]]:
    """One row for every string, in order."""
    outcomes = iter(_representation(packed).decode([string for _, string in rows if string]))
    found = []
    for name, string in rows:
        if not string:
            found.append([name, EMPTY, "the row holds no string", "", ""])
            continue
        outcome = next(outcomes)
        if outcome.crystal is None:
            found.append([name, outcome.reason, " ".join(outcome.message.split()), "", ""])
            continue
        residual = outcome.quality.get("residual")
        found.append([name, "ok", "", "" if residual is None else f"{residual:.5f}", outcome.crystal.cif()])
    return found


def _write_cifs(rows: list[list[str]], folder: Path) -> None:
    for name, status, _, _, cif in rows:
        if status == "ok":
            (folder / f"{safe_name(name)}.cif").write_text(cif, encoding="utf-8")
