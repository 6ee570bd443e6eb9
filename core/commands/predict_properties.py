"""Predict properties of structures, with the errors that the model's validation part showed.

  crystalfw predict-properties mp-energies structures/                  a folder, table, zip or structure file
  crystalfw predict-properties runs/regress NaCl.cif -o values.csv

Each value comes with half of its 90 % interval: of crystals like those the model was validated on, nine in ten lie within
value +- half. A structure that cannot be read is left out and named on stderr; exit code 1 where none could be read.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TextIO

from crystalfw.core.commands.parser import add_out, add_run
from crystalfw.core.records import Rejected

if TYPE_CHECKING:
    from crystalfw.core.crystal import Crystal
    from crystalfw.core.sample.trained import Trained

_BLOCK = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw predict-properties`."""
    add_run(parser)
    parser.add_argument("structures", metavar="STRUCTURES", help="table, structure file, folder or zip")
    parser.add_argument("--device", default="cpu", help="torch device, e.g. cuda (default cpu)")
    add_out(parser, "FILE.csv", "table to write (default: the screen)")


def run(args: argparse.Namespace) -> int:
    """Predict; 1 where no structure could be read."""
    from crystalfw.core.commands._structures import report, usable
    from crystalfw.core.sample.trained import Trained
    from crystalfw.core.sample.training_range import warnings_outside

    trained = Trained.load(args.run, which=args.checkpoint, device=args.device)
    rejected: list[Rejected] = []
    warnings: list[str] = []
    blocks = _blocks(usable(trained, args.structures, rejected))
    count = 0
    with open(args.out, "w", newline="", encoding="utf-8") if args.out else _screen() as file:
        for block in blocks:
            warnings += warnings_outside(block, trained.requires, trained.ranges)
            _write(file, trained, block, header=not count, aligned=not args.out)
            count += len(block)
    report(rejected, warnings)
    if args.out:
        print(f"{args.out}: {count:,} structures" + (f", {len(rejected):,} left out" if rejected else ""))
    return 0 if count else 1


def _blocks(crystals: Iterator[Crystal]) -> Iterator[list[Crystal]]:
    while block := list(islice(crystals, _BLOCK)):
        yield block


def _write(file: TextIO, trained: Trained, block: Sequence[Crystal], *, header: bool, aligned: bool) -> None:
    """A block as rows of CSV, or as lines with value +- half for the screen."""
    found = trained.predict_with_errors(block)
    writer = csv.writer(file)
    if header and not aligned:
        writer.writerow(["id", "formula", *(name for column in found for name in (column, f"{column}_half_of_90_percent"))])
    for k, crystal in enumerate(block):
        pairs = [(float(values[k]), float(half[k])) for values, half in found.values()]
        if aligned:
            said = "  ".join(f"{name} {_said(*pair)}" for name, pair in zip(found, pairs, strict=True))
            print(f"{crystal.id}  {crystal.formula}  {said}", file=file)
        else:
            writer.writerow([crystal.id, crystal.formula, *(f"{number:.6g}" for pair in pairs for number in pair)])


def _said(value: float, half: float) -> str:
    """`1.234 +- 0.050`; without the second number where the model was never calibrated."""
    return f"{value:.3f}" if math.isnan(half) else f"{value:.3f} +- {half:.3f}"


class _screen:  # noqa: N801 - a context manager in lower case, like open()
    """Standard output that is not closed at the end."""

    def __enter__(self) -> TextIO:
        return sys.stdout

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
