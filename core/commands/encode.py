"""Crystals to strings: a table with one row for every crystal of the input.

  crystalfw encode data/test.csv.gz -o strings.csv
  crystalfw encode my_cifs/ -o strings.csv --dialect rigid --workers 8

INPUT is a table with a cif column (.csv, .csv.gz, .parquet), a structure file, a folder or a zip. Columns out: id, slices,
n_atoms, status, reason; status is ok, `unreadable`, or the representation's name for the failure. The same command goes
on where an interrupted one stopped.
"""

from __future__ import annotations

import argparse
import json
import pickle
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from crystalfw.core.commands._rows import modules, run_rows, summary
from crystalfw.core.commands._workers import add_worker_arguments
from crystalfw.core.commands.parser import add_out
from crystalfw.core.crystal import Crystal
from crystalfw.core.data.executor import chunks
from crystalfw.core.data.reading import MAX_ID, open_source, read_sound
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Representation, Source
from crystalfw.core.recipe.options import create
from crystalfw.core.records import Record, Rejected
from crystalfw.core.system.bounded_text import printable
from crystalfw.core.system.resumable_csv import RowFile

COLUMNS = ("id", "slices", "n_atoms", "status", "reason")
UNREADABLE = "unreadable"
_CHUNK = 128
MAX_ATOMS = 10_000
"""Cells above this are rejected before anything is computed of them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw encode`."""
    parser.add_argument("input", help="table, structure file, folder or zip")
    add_out(parser, "FILE", "CSV to write", required=True)
    parser.add_argument("--dialect", help="what the strings say: plain, rigid or metric (default plain)")
    parser.add_argument("--space-group", action="store_true", help="put the space-group prefix in front")
    parser.add_argument("--max-atoms", type=int, help="largest cell (default 64)")
    parser.add_argument("--part", help="of a data set with parts only this one: train, val or test")
    parser.add_argument("--representation", default="slices", help="which representation (default slices)")
    add_worker_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Encode; 0 also where some crystals have no string: their rows say why."""
    settings = {"dialect": args.dialect, "space_group": args.space_group or None, "max_atoms": args.max_atoms}
    options = {name: value for name, value in settings.items() if value is not None}
    # says what is wrong before anything is read
    representation = create("representation", args.representation, options)
    source = open_source(args.input)
    parts = source.parts() if args.part is None else (_known(args.part, source),)
    request = {"input": source.fingerprint(), "parts": parts, "representation": args.representation, "options": options}
    with RowFile(args.out, COLUMNS, json.loads(json.dumps(request)), block=_CHUNK) as out:
        records = (record for part in parts for record in source.records(part))
        payload = pickle.dumps((source, args.representation, options))
        calls = ((payload, chunk) for chunk in chunks(islice(records, out.skip, None), _CHUNK))
        before = out.done
        sizes = [source.size(part) for part in parts]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        counts = run_rows(
            "encode", out, encode_records, calls, status=3, workers=args.workers, executor=args.executor,
            preload=modules(representation), total=total,
        )  # fmt: skip
    print(f"{args.out}: {summary(counts)}" + (f"; {before:,} rows were there already" if before else ""))
    return 0


def _known(part: str, source: Source) -> str:
    if part not in source.parts():
        raise DataError(f"--part {part}: the input has {', '.join(source.parts())}")
    return part


@lru_cache(maxsize=2)
def _unpack(payload: bytes) -> tuple[Source, Representation]:
    source, name, options = pickle.loads(payload)  # noqa: S301 - written by our own parent process
    return source, create("representation", name, options)


def encode_records(payload: bytes, records: list[Record]) -> list[list[str]]:
    """One row for every record, in order."""
    source, representation = _unpack(payload)
    items = [read_sound(source, record, max_atoms=MAX_ATOMS) for record in records]
    outcomes = iter(representation.encode([item for item in items if isinstance(item, Crystal)]))
    rows = []
    for record, item in zip(records, items, strict=True):
        name = item.id[:MAX_ID] or f"{Path(record.file).name}:{record.row}"
        if isinstance(item, Rejected):
            rows.append([name, "", "", UNREADABLE, _line(item.reason)])
            continue
        outcome = next(outcomes)
        why = "" if outcome.ok else _line(representation.reasons.get(outcome.reason, outcome.reason))
        rows.append([name, outcome.string, str(item.n_atoms), outcome.reason or "ok", why])
    return rows


def _line(text: Any) -> str:
    return printable(" ".join(str(text).split()))
