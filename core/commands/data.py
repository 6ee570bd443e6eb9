"""Look at a data set before it is used, bring it into one table, divide it into parts, prepare it ahead of a run.

  crystalfw data check mp_20                      what can be read, what not and why, which columns there are, and which
                                                  share of 200 random crystals comes back from its string
  crystalfw data check mine.csv 'data.source={name: table, cif: structure}' data.max_atoms=20
  crystalfw data import structures.zip -o set.csv.gz   any source as one table with a cif column
  crystalfw data import structures/ -o set        the same, one table per part
  crystalfw data split set.csv.gz -o set --test 0.1    train, val, test by formula: a formula is never in two parts
  crystalfw data prepare xattn data.path=mp_20    what a run of this recipe does first, alone: no GPU waits for it
  crystalfw data example                          NaCl.cif and my_crystals.csv, to try the commands on

`check`, `import` and `split` take the recipe keys data.source, data.max_atoms and representation. `check` exits with 1
where crystals were rejected, and every command with 2 where nothing can be read.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalfw.core.commands.parser import add_json, add_out, add_recipe
from crystalfw.core.errors import CrystalfwError, DataError

if TYPE_CHECKING:
    from crystalfw.core.crystal import Crystal
    from crystalfw.core.data.survey import ColumnRange, Survey
    from crystalfw.core.interfaces import Representation, Source

_KEYS = ("data.source", "data.max_atoms", "representation")
_NO_LIMIT = 65535
"""Atoms per cell; unlike a run, these commands keep large cells unless told otherwise."""
_JSON = "crystals, set_aside, formulas, elements, atoms, formulas_in_several_parts, columns, remarks, round_trip"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw data`."""
    commands = parser.add_subparsers(dest="task", required=True, metavar="{check,import,split,prepare,example}")
    check = commands.add_parser("check", help="read everything, say what is there and what is wrong")
    convert = commands.add_parser("import", help="write any source as a table")
    split = commands.add_parser("split", help="divide into train, val and test by formula")
    ahead = commands.add_parser("prepare", help="prepare the data of a recipe; its runs find it in the cache")
    add_recipe(ahead)
    example = commands.add_parser("example", help="write NaCl.cif and my_crystals.csv, to try the commands on")
    example.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="where to (default: here)")
    for command in (check, convert, split):
        command.add_argument("path", help="table, folder, zip or structure file; 'prototypes' for the built-in crystals")
        command.add_argument("rest", nargs="*", metavar="a.b=c", help=f"recipe keys: {', '.join(_KEYS)}; c is YAML")
        command.add_argument("--rejected", metavar="FILE", help="write the rejected ones there (CSV)")
        for old, key in (
            ("--source", "data.source.name"),
            ("--max-atoms", "data.max_atoms"),
            ("--dialect", "representation.dialect"),
        ):
            command.add_argument(old, action=_Key, key=key, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    check.add_argument(
        "--round-trip",
        type=int,
        default=200,
        metavar="N",
        help="random crystals to encode and decode, 0 for none (default 200)",
    )
    add_json(check, _JSON)
    add_out(convert, "FILE", "a .csv or .csv.gz file, or a folder for train.csv.gz, val.csv.gz, test.csv.gz")
    add_out(split, "FOLDER", "folder for train.csv.gz, val.csv.gz, test.csv.gz")
    split.add_argument("--validation", type=float, default=0.05, help="share of formulas for val (default 0.05)")
    split.add_argument("--test", type=float, default=0.05, help="share of formulas for test (default 0.05)")


class _Key(argparse.Action):
    """An older option that became a recipe key."""

    def __init__(self, *, key: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.key = key

    def __call__(self, parser: object, namespace: argparse.Namespace, values: Any, option_string: str | None = None) -> None:
        """Note the key as if it had been written `a.b=c`."""
        namespace.old = [*getattr(namespace, "old", []), f"{self.key}={values}"]


def run(args: argparse.Namespace) -> int:
    """Check, import, split or prepare; the exit code."""
    if args.task == "prepare":
        return _prepare(args.recipe, args.overrides)
    if args.task == "example":
        from crystalfw.core.data.example import write_example

        print("\n".join(f"wrote {path}" for path in write_example(Path(args.folder))))
        return 0
    out = _out(args)
    cut: tuple[tuple[str, float], ...] = ()
    if args.task == "split":
        cut = (("test", args.test), ("val", args.validation))
        if args.test < 0 or args.validation < 0 or args.test + args.validation >= 1:
            raise DataError("--validation and --test must be shares that leave something for training")
    source, representation, max_atoms = _parts(args)
    from crystalfw.core.data.survey import Survey, write_tables

    with ExitStack() as stack:
        items = Survey(source, max_atoms, args.rejected, stack)
        if args.task == "check":
            found = _findings(items, args.round_trip, representation)
            print(json.dumps(found, indent=2)) if args.json else _report(items, found)
            return 1 if items.reasons else 0
        write_tables(items, out, cut, stack)
        items.report()
    return 0


def _out(args: argparse.Namespace) -> Path:
    """Where `import` and `split` write to: -o, or what older versions took as second argument; it leaves `rest`."""
    names = [text for text in args.rest if "=" not in text]
    if args.task != "check" and not args.out and len(names) == 1:
        args.out = names.pop()
        args.rest.remove(args.out)
    if names:
        raise CrystalfwError(f"{' '.join(names)}: give one path, and recipe keys as a.b=c")
    if args.task != "check" and not args.out:
        raise CrystalfwError(f"crystalfw data {args.task}: say with -o where to write")
    return Path(getattr(args, "out", None) or ".")


def _parts(args: argparse.Namespace) -> tuple[Source, Representation, int]:
    """Source, representation and size limit that the recipe keys ask for."""
    from crystalfw.core.recipe.load import read_sections
    from crystalfw.core.recipe.options import build

    given = [*getattr(args, "old", []), *args.rest]
    other = [text for text in given if not text.startswith(_KEYS)]
    if other:
        raise CrystalfwError(f"{' '.join(other)}: crystalfw data {args.task} takes the recipe keys {', '.join(_KEYS)}")
    path = None if args.path == "prototypes" else args.path
    start = [f"data.path={json.dumps(path)}", f"data.max_atoms={_NO_LIMIT}"]
    data, strings = read_sections(("data", "representation"), [*start, *given])
    return build("source", data.source, path=path), build("representation", strings), data.max_atoms


def _prepare(name: str, overrides: Sequence[str]) -> int:
    from crystalfw.core.recipe import load_recipe
    from crystalfw.core.run.setup import prepare_only

    dataset = prepare_only(load_recipe(name, overrides))
    print(f"{dataset.summary()}\n{dataset.folder}")
    return 0


def _findings(items: Survey, round_trips: int, representation: Representation) -> dict[str, Any]:
    """What is there: crystals, atoms, elements, columns; and how many come back from their strings."""
    from crystalfw.core.data.parts import formula_hash
    from crystalfw.core.data.survey import ColumnRange, Reservoir

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
    return {
        "crystals": dict(items.kept),
        "set_aside": dict(items.reasons.most_common()),
        "formulas": len(formulas),
        "elements": len(elements),
        "atoms": {"min": min(atoms), "max": max(atoms)},
        "formulas_in_several_parts": shared,
        "columns": {name: _column(column, items.kept.total()) for name, column in columns.items()},
        "remarks": list(items.source.remarks()),
        "round_trip": _round_trip(drawn.crystals, representation) if drawn.crystals else None,
    }


def _column(column: ColumnRange, total: int) -> dict[str, Any]:
    known = column.count > 0
    return {
        "values": column.count, "min": column.low if known else None, "max": column.high if known else None,
        "missing": total - column.count,
    }  # fmt: skip


def _round_trip(crystals: Sequence[Crystal], representation: Representation) -> dict[str, int]:
    """Counts of what came back strictly, loosely only, and of each reason of failure."""
    from crystalfw.core.data.roundtrip import round_trip

    return dict(round_trip(crystals, representation))


def _report(items: Survey, found: dict[str, Any]) -> None:
    """Print the findings as text."""
    from crystalfw.core.data.roundtrip import summary
    from crystalfw.core.system.wording import counted

    items.report()
    low, high = found["atoms"].values()
    atoms = counted(low, "atom") if low == high else f"{low} to {high} atoms"
    print(f"{counted(found['formulas'], 'formula')}, {counted(found['elements'], 'element')}, {atoms} per cell")
    if found["formulas_in_several_parts"]:
        shared = counted(found["formulas_in_several_parts"], "formula")
        print(f"in more than one part: {shared}; test results will flatter")
    for name, column in found["columns"].items():
        values = f"{column['values']:,} values from {column['min']:g} to {column['max']:g}" if column["values"] else "no value"
        print(f"  column {name}: {values}, missing in {column['missing']:,}")
    if found["round_trip"]:
        print("\n".join(summary(Counter(found["round_trip"]))))
