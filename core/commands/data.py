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
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from crystalfw.core.data.survey import ColumnRange, Reservoir, Survey, write_tables
from crystalfw.core.errors import DataError

if TYPE_CHECKING:
    from crystalfw.core.interfaces import Source


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
        items = Survey(source, args.max_atoms, args.rejected, stack)
        if args.task == "check":
            return _check(items, args.round_trip, args.dialect)
        cut: tuple[tuple[str, float], ...] = ()
        if args.task == "split":
            cut = (("test", args.test), ("val", args.validation))
            if args.test < 0 or args.validation < 0 or args.test + args.validation >= 1:
                raise DataError("--validation and --test must be shares that leave something for training")
        write_tables(items, Path(args.out), cut, stack)
        items.report()
    return 0


def _prepare(name: str, overrides: Sequence[str]) -> int:
    from crystalfw.core.recipe import load_recipe
    from crystalfw.core.run.setup import prepare_only

    dataset = prepare_only(load_recipe(name, overrides))
    print(f"{dataset.summary()}\n{dataset.folder}")
    return 0


def _source(args: argparse.Namespace) -> Source:
    from crystalfw.core.recipe.auto_source import source_name
    from crystalfw.core.recipe.options import create

    path = None if args.path == "prototypes" else args.path
    name = source_name(path) if args.source == "auto" else args.source
    source: Source = create("source", name, path=path)
    return source


def _check(items: Survey, round_trips: int, dialect: str) -> int:
    """Print what is there: crystals, atoms, elements, columns; and how many come back from their strings."""
    from crystalfw.core.data.parts import formula_hash

    atoms: Counter[int] = Counter()
    elements: Counter[int] = Counter()
    formulas: dict[float, int] = {}
    columns: dict[str, ColumnRange] = {}
    shared = 0
    drawn = Reservoir(round_trips)
    for part, crystal in items.crystals():
        drawn.add(crystal)
        atoms[crystal.n_atoms] += 1
        elements.update(set(crystal.numbers.tolist()))
        for name, value in crystal.properties.items():
            columns.setdefault(name, ColumnRange()).add(value)
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
        from crystalfw.core.data.roundtrip import round_trip, summary
        from crystalfw.core.recipe.options import create

        counts = round_trip(drawn.crystals, create("representation", "slices", {"dialect": dialect}))
        print("\n".join(summary(counts)))
    return 1 if items.reasons else 0
