"""Fit the parts of a representation that are learned from crystals: `crystalfw codec fit --data FOLDER ...`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from crystalfw.core.commands.parser import add_out
from crystalfw.core.crystal import Crystal
from crystalfw.core.data.reading import read_crystals
from crystalfw.core.discovery import registry
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Representation, Source
from crystalfw.core.recipe.options import create
from crystalfw.core.records import Rejected
from crystalfw.core.system.bounded_text import bounded_lines, csv_rows, open_text

TRAIN_FILES = ("train.csv.gz", "train.csv", "unlabelled.csv.gz", "unlabelled.csv")
VALIDATION_FILES = ("val.csv.gz", "val.csv")
EPILOG = """examples:
  crystalfw codec fit --data data/mp_20 data/mpts_52 -o fitted/
  crystalfw codec fit --data data/mp_20 --steps 1000 --seed 3 -o try/     (the same command continues an interrupted fit)

Of each folder the files train.csv[.gz] and unlabelled.csv[.gz] are read; of a file with a column `part` the rows whose
part is train. val.csv[.gz] serves for the figures in the record. Nothing else is looked at.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw codec fit`."""
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    parser.prog += " fit"
    parser.add_argument("task", nargs="?", choices=["fit"], default="fit", help=argparse.SUPPRESS)
    parser.add_argument("--data", nargs="+", required=True, metavar="FOLDER", help="folders with train.csv(.gz), column cif")
    parser.add_argument(
        "--licence",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="licence of each folder's data, for the record; as many as --data",
    )
    add_out(parser, "FOLDER", "where the fitted parts and their record go", required=True)
    parser.add_argument("--representation", default="slices", help="whose parts (slices)")
    parser.add_argument("--steps", type=int, default=12_000, help="optimiser steps of the length net (12000)")
    parser.add_argument("--seed", type=int, default=0, help="of the initial net and the order of the crystals (0)")
    parser.add_argument("--limit", type=int, metavar="N", help="read at most N training crystals of each folder")
    parser.add_argument("--validate", type=int, default=300, metavar="N", help="validation crystals of each folder (300)")


def run(args: argparse.Namespace) -> int:
    """Fit and write; prints the validation figures. PluginError where the representation has nothing to fit."""
    component: type[Representation] = registry().get("representation", args.representation).load()
    folders = [Path(name) for name in args.data]
    licences = args.licence or ["not stated"] * len(folders)
    if len(licences) != len(folders):
        raise DataError(f"--licence has {len(licences)} entries for {len(folders)} folders; give one for each, in their order")
    tables = [_tables(folder, TRAIN_FILES) for folder in folders]  # before the first row is read: all paths are checked
    rejected: Counter[str] = Counter()
    data = [{"name": folder.resolve().name, "licence": text} for folder, text in zip(folders, licences, strict=True)]
    record = component.fit(
        _training(tables, args.limit, rejected, data),
        _validation(folders, args.validate, rejected),
        Path(args.out),
        steps=args.steps,
        seed=args.seed,
        data=data,
        say=_say,
    )
    for reason, count in rejected.items():
        _say(f"{count} rows left out: {reason}")
    for dialect, figures in record["validation"].items():
        print(f"{dialect}: strict {100 * figures['strict']:.1f} %, loose {100 * figures['loose']:.1f} %")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _tables(folder: Path, names: Sequence[str]) -> list[Path]:
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise DataError(f"{folder}: holds none of {', '.join(names)}")
    return found


def _training(
    tables: Sequence[Sequence[Path]],
    limit: int | None,
    rejected: Counter[str],
    data: list[dict[str, Any]],
) -> Iterator[Crystal]:
    """The training crystals of all folders; what was read of a folder is noted in its entry of `data`."""
    for entry, paths in zip(data, tables, strict=True):
        count = 0
        rows = (crystal for path in paths for crystal in _sound(path, rejected))
        for crystal in islice(rows, limit):
            count += 1
            yield crystal
        entry.update(files=[path.name for path in paths], crystals=count)


def _validation(folders: Sequence[Path], count: int, rejected: Counter[str]) -> Iterator[Crystal]:
    for folder in folders:
        for path in VALIDATION_FILES:
            if (folder / path).is_file():
                yield from islice(_sound(folder / path, rejected), count)
                break


def _source_of(path: Path) -> Source:
    """The table as a source; of one with a column `part` only the rows of part train."""
    with open_text(path) as file:
        header = next(csv_rows(bounded_lines(file, path), path), [])
    options = {"where": {"part": "train"}} if "part" in header else {}
    source: Source = create("source", "table", options, path=str(path))
    return source


def _sound(path: Path, rejected: Counter[str]) -> Iterator[Crystal]:
    """The crystals of a table; the rows that cannot be read are counted by their reason."""
    for item in read_crystals(_source_of(path)):
        if isinstance(item, Rejected):
            rejected[item.reason.splitlines()[0]] += 1
        else:
            yield item
