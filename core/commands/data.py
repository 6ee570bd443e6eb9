"""Look at a data set before it is used, bring it into one table, divide it into parts, prepare it ahead of a run.

  crystalfw data check mp_20                      what can be read, what not and why, which columns there are, and which
                                                  share of 200 random crystals comes back from its string
  crystalfw data import structures.zip set.csv.gz any source as one table with a cif column
  crystalfw data import structures/ set           the same, one table per part
  crystalfw data split set.csv.gz set --test 0.1  train, val, test by formula: a formula is never in two parts
  crystalfw data prepare xattn data.path=mp_20    what a run of this recipe does first, alone: no GPU waits for it

`check` exits with 1 where crystals were set aside, and every command with 2 where nothing can be read.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import math
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from crystalfw.core.errors import DataError

if TYPE_CHECKING:
    from crystalfw.core.crystal import Crystal
    from crystalfw.core.interfaces import Rejected, Source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw data`."""
    commands = parser.add_subparsers(dest="task", required=True, metavar="{check,import,split,prepare}")
    check = commands.add_parser("check", help="read everything, say what is there and what is wrong")
    convert = commands.add_parser("import", help="write any source as a table")
    split = commands.add_parser("split", help="divide into train, val and test by formula")
    ahead = commands.add_parser("prepare", help="prepare the data of a recipe; its runs find it in the cache")
    ahead.add_argument("recipe", help="recipe file, or the name of an installed recipe")
    ahead.add_argument("overrides", nargs="*", metavar="a.b=c", help="values that replace the recipe's; c is YAML")
    for command in (check, convert, split):
        command.add_argument("path", help="table, folder, zip or structure file; 'prototypes' for the built-in crystals")
        command.add_argument("--source", default="auto", help="source component; auto goes by the path")
        command.add_argument("--max-atoms", type=int, default=65535, help="set aside crystals with more atoms")
        command.add_argument("--rejected", metavar="FILE", help="write what was set aside there (CSV)")
    check.add_argument(
        "--round-trip", type=int, default=200, metavar="N", help="random crystals to encode and decode, 0 for none"
    )
    check.add_argument("--dialect", default="plain", help="dialect of their strings: plain, rigid or metric")
    convert.add_argument("out", help="a .csv or .csv.gz file, or a folder for train.csv.gz, val.csv.gz, test.csv.gz")
    split.add_argument("out", help="folder for train.csv.gz, val.csv.gz, test.csv.gz")
    split.add_argument("--validation", type=float, default=0.05, help="share of formulas for val (default 0.05)")
    split.add_argument("--test", type=float, default=0.05, help="share of formulas for test (default 0.05)")


def run(args: argparse.Namespace) -> int:
    """Check, import, split or prepare; the exit code."""
    if args.task == "prepare":
        return _prepare(args.recipe, args.overrides)
    source = _source(args)
    with ExitStack() as stack:
        items = _Reader(source, args, stack)
        if args.task == "check":
            return _check(items, args.round_trip, args.dialect)
        cut: tuple[tuple[str, float], ...] = ()
        if args.task == "split":
            cut = (("test", args.test), ("val", args.validation))
            if args.test < 0 or args.validation < 0 or args.test + args.validation >= 1:
                raise DataError("--validation and --test must be shares that leave something for training")
        _write_tables(items, Path(args.out), cut, stack)
        items.report()
    return 0


def _prepare(name: str, overrides: Sequence[str]) -> int:
    from crystalfw.core.recipe import load_recipe
    from crystalfw.core.setup import prepare_only

    dataset = prepare_only(load_recipe(name, overrides))
    print(f"{dataset.summary()}\n{dataset.folder}")
    return 0


def _source(args: argparse.Namespace) -> Source:
    from crystalfw.core.discovery import registry
    from crystalfw.core.locate import source_name

    path = None if args.path == "prototypes" else args.path
    name = source_name(path) if args.source == "auto" else args.source
    source: Source = registry().create("source", name, path=path)
    return source


class _Reader:
    """Sound crystals of a source, part by part; counts and lists the others."""

    def __init__(self, source: Source, args: argparse.Namespace, stack: ExitStack) -> None:
        self.source, self.max_atoms = source, args.max_atoms
        self.kept: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.first: Rejected | None = None
        self._listed = args.rejected
        self._table = None
        if args.rejected:
            self._table = csv.writer(stack.enter_context(writing(Path(args.rejected))))
            self._table.writerow(["file", "row", "id", "reason"])

    def crystals(self) -> Iterator[tuple[str, Crystal]]:
        """(part, crystal); raises DataError where there is none at all."""
        from crystalfw.core.data.work import read_sound
        from crystalfw.core.interfaces import Rejected
        from crystalfw.core.progress import Progress

        progress = Progress("read", None)
        for part in self.source.parts():
            for record in self.source.records(part):
                item = read_sound(self.source, record, most_atoms=self.max_atoms)
                if isinstance(item, Rejected):
                    self._set_aside(item)
                else:
                    self.kept[part] += 1
                    yield part, item
                progress.update(self.kept.total() + self.reasons.total(), f"{self.reasons.total():,} set aside")
        if not self.kept:
            raise DataError(f"no usable crystal: all {self.reasons.total():,} were set aside. {self._example()}")

    def _set_aside(self, item: Rejected) -> None:
        from crystalfw.core.data.prepare import reason_class
        from crystalfw.core.textlines import printable

        self.first = self.first or item
        self.reasons[reason_class(item.reason)] += 1
        if self._table is not None:
            fields = (printable(text) for text in (item.file, "" if item.row is None else str(item.row), item.id, item.reason))
            self._table.writerow(list(fields))

    def _example(self) -> str:
        from crystalfw.core.textlines import printable

        if self.first is None:
            return ""
        row = "" if self.first.row is None else f", row {self.first.row}"
        id = f" (id {self.first.id})" if self.first.id else ""
        return printable(f"The first: {self.first.file}{row}{id}: {self.first.reason}")

    def report(self) -> None:
        """Print sizes of the parts and what was set aside."""
        sizes = ", ".join(f"{part} {count:,}" for part, count in self.kept.items())
        print(f"{self.kept.total():,} crystals: {sizes}")
        if self.reasons:
            where = f", listed in {self._listed}" if self._listed else "; --rejected FILE lists them"
            print(f"{self.reasons.total():,} set aside{where}:")
            for reason, count in self.reasons.most_common():
                print(f"  {count:>9,}  {reason}")
            print(self._example())


def _check(items: _Reader, round_trips: int, dialect: str) -> int:
    """Print what is there: crystals, atoms, elements, columns; and how many come back from their strings."""
    from crystalfw.core.data.work import formula_hash

    atoms: Counter[int] = Counter()
    elements: Counter[int] = Counter()
    formulas: dict[float, int] = {}
    columns: dict[str, _Column] = {}
    shared = 0
    drawn = _Drawn(round_trips)
    for part, crystal in items.crystals():
        drawn.add(crystal)
        atoms[crystal.n_atoms] += 1
        elements.update(set(crystal.numbers.tolist()))
        for name, value in crystal.properties.items():
            columns.setdefault(name, _Column()).add(value)
        # which parts a formula occurs in, one bit each
        key, bit = formula_hash(crystal), 1 << ("train", "val", "test").index(part)
        before = formulas.get(key, 0)
        shared += before not in (0, bit) and not before & bit
        formulas[key] = before | bit
    items.report()
    print(f"{len(formulas):,} formulas, {len(elements)} elements, {min(atoms)} to {max(atoms)} atoms per cell")
    if shared:
        print(f"{shared:,} formulas occur in more than one part: test results will flatter")
    for name, column in columns.items():
        print(f"  column {name}: {column}, missing in {items.kept.total() - column.count:,}")
    if drawn.crystals:
        from crystalfw.core.discovery import registry
        from crystalfw.core.roundtrip import round_trip, summary

        counts = round_trip(drawn.crystals, registry().create("representation", "slices", {"dialect": dialect}))
        print("\n".join(summary(counts)))
    return 1 if items.reasons else 0


class _Drawn:
    """A uniform random choice from a stream (reservoir sampling, Vitter 1985), always the same for the same stream."""

    def __init__(self, size: int) -> None:
        self.size, self.seen = size, 0
        self.crystals: list[Crystal] = []
        self._random = random.Random(0)  # noqa: S311 - no secret

    def add(self, crystal: Crystal) -> None:
        self.seen += 1
        if len(self.crystals) < self.size:
            self.crystals.append(crystal)
        elif (place := self._random.randrange(self.seen)) < self.size:
            self.crystals[place] = crystal


class _Column:
    """Count and range of a property."""

    def __init__(self) -> None:
        self.count, self.low, self.high = 0, math.inf, -math.inf

    def add(self, value: float) -> None:
        if not math.isnan(value):
            self.count, self.low, self.high = self.count + 1, min(self.low, value), max(self.high, value)

    def __str__(self) -> str:
        return f"{self.count:,} values from {self.low:g} to {self.high:g}" if self.count else "no value"


def _write_tables(items: _Reader, out: Path, cut: tuple[tuple[str, float], ...], stack: ExitStack) -> None:
    """Write crystals to one table, or to one per part of a folder; the columns are those of the first 1000 crystals."""
    from itertools import chain, islice

    from crystalfw.core.data.work import assign_part

    single = out.name.lower().endswith((".csv", ".csv.gz"))
    if single and cut:
        raise DataError(f"{out}: a split needs a folder to write to")
    crystals = items.crystals()
    first = list(islice(crystals, 1000))
    names = sorted({name for _, crystal in first for name in crystal.properties})
    header = ["material_id", "cif", "pretty_formula", *names]
    tables = {}
    for part, crystal in chain(first, crystals):
        place = assign_part("train", crystal, cut) if cut else part
        file = out if single else out / f"{place}.csv.gz"
        if file not in tables:
            tables[file] = csv.writer(stack.enter_context(writing(file)))
            tables[file].writerow(header)
        new = sorted(set(crystal.properties) - set(names))
        if new:
            raise DataError(f"crystal {crystal.id}: column {', '.join(new)} appears only after the first 1000 crystals")
        values = ["" if math.isnan(v := crystal.properties.get(name, math.nan)) else repr(v) for name in names]
        tables[file].writerow([crystal.id, crystal.cif(), crystal.formula, *values])
    for file in tables:
        print(f"wrote {file}")


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """A text file to write, compressed by its name, that gets its name when it is whole; raises DataError if it exists."""
    if path.exists():
        raise DataError(f"{path} exists already; remove it or choose another name")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as raw, _text(raw, path.name.endswith(".gz")) as stream:
            yield stream
        os.replace(partial, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _text(raw: BinaryIO, compressed: bool) -> Iterator[TextIO]:
    # no name and time in the gzip header: the same content gives the same bytes
    inner = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) if compressed else nullcontext(raw)
    with inner as binary, io.TextIOWrapper(binary, encoding="utf-8", newline="") as stream:
        yield stream
