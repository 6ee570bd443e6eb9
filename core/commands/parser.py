"""The parser of every command: errors in one sentence with a suggestion, options and positionals in any order.

Also the arguments that several commands share, so that they are called and explained alike.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from crystalfw.core.errors import CrystalfwError

OUT_HELP = "a table (.csv), a folder, or one file of all crystals (.cif, .extxyz, .json) with the table beside it"
CHECKPOINTS = ("best", "last", "previous")


class Parser(argparse.ArgumentParser):
    """argparse that raises CrystalfwError with one sentence instead of printing the usage."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)
        self.formatter_class = argparse.RawDescriptionHelpFormatter

    def error(self, message: str) -> NoReturn:
        """Raise CrystalfwError: what is wrong, what could be meant, where the options are listed."""
        raise CrystalfwError(f"{self.prog}: {self._sentence(message)}\n  {self.prog} --help lists what it takes")

    def _sentence(self, message: str) -> str:
        _, found, names = message.partition("arguments are required: ")
        if found:  # argparse also names those of which there may be none
            free = {action.metavar or action.dest for action in self._actions if action.nargs in ("*", "?")}
            wanted = [name for name in names.split(", ") if name not in free]
            return f"give {', '.join(wanted)}" if wanted else message
        message = message.removeprefix("argument ")
        choice = re.search(r"invalid choice: '?(.*?)'? \(choose from (.*)\)", message)
        hint = _near(choice[1], re.findall(r"[\w.-]+", choice[2])) if choice else ""
        return f"{message}.{hint}" if hint else message

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse with options and positionals in any order, e.g. `run smoke --dry-run fit.steps=3`."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and arguments and arguments[0] in action.choices:
                parsed: argparse.Namespace = action.choices[arguments[0]].parse(arguments[1:])
                for name, value in {**self._defaults, action.dest: arguments[0]}.items():
                    setattr(parsed, name, value)
                return parsed
        self._check_options(arguments)
        # argparse cannot mix where there are subcommands
        return self.parse_args(arguments) if self._subparsers else self.parse_intermixed_args(arguments)

    def _check_options(self, arguments: Sequence[str]) -> None:
        """Refuse a misspelt option before argparse complains about what is missing because of it."""
        known = self._option_string_actions
        given = arguments[: arguments.index("--")] if "--" in arguments else arguments
        for text in given:
            name = text.partition("=")[0]
            if text.startswith("--") and name not in known and " " not in text:
                shown = [option for option, action in known.items() if action.help != argparse.SUPPRESS]
                self.error(f"there is no option '{name}'.{_near(name, shown)}")


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def add_recipe(parser: argparse.ArgumentParser, **settings: Any) -> None:
    """RECIPE and `a.b=c`."""
    parser.add_argument("recipe", metavar="RECIPE", help="recipe file, or the name of an installed recipe", **settings)
    add_overrides(parser, "values laid over the recipe's; c is YAML")


def add_overrides(parser: argparse.ArgumentParser, meaning: str) -> None:
    """`a.b=c`, as many as wanted."""
    parser.add_argument("overrides", nargs="*", metavar="a.b=c", help=meaning)


def add_out(parser: argparse.ArgumentParser, metavar: str, meaning: str, *, old: Sequence[str] = (), **settings: Any) -> None:
    """`-o/--out`; `old` spellings are accepted and not shown."""
    parser.add_argument("-o", "--out", metavar=metavar, help=meaning, **settings)
    if old:
        parser.add_argument(*old, dest="out", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def add_symprec(parser: argparse.ArgumentParser) -> None:
    """`--symprec`: CIF files with symmetry."""
    meaning = "CIF files in the conventional cell with the symmetry found at this tolerance, e.g. 0.1 (default: P1)"
    parser.add_argument("--symprec", type=float, metavar="ANGSTROM", help=meaning)


def add_run(parser: argparse.ArgumentParser, default: str = "best") -> None:
    """RUN and `--checkpoint`; that RUN is there is checked before anything heavy is imported."""
    parser.add_argument("run", metavar="RUN", help="run folder, checkpoint file or delivered model")
    add_checkpoint(parser, default, "which checkpoint of the run folder")
    parser.set_defaults(_must_exist="run")


def add_checkpoint(parser: argparse.ArgumentParser, default: str, meaning: str) -> None:
    """`--checkpoint`, with the same choices wherever a run is loaded."""
    parser.add_argument("--checkpoint", choices=CHECKPOINTS, default=default, help=f"{meaning} (default {default})")


def add_json(parser: argparse.ArgumentParser, keys: str) -> None:
    """`--json`; `keys` lists what the object holds."""
    parser.add_argument("--json", action="store_true", help=f"print one JSON object instead of text: {keys}")


def check_paths(parsed: argparse.Namespace) -> None:
    """Raise CheckpointError where what the command needs is neither a file, nor a folder, nor a delivered model."""
    name = getattr(parsed, "_must_exist", None)
    if name is not None and not Path(getattr(parsed, name)).exists():
        from crystalfw.core.packaged import located

        located(getattr(parsed, name))


def check_checkpoint(run: Path) -> None:
    """Raise CheckpointError for a folder without a checkpoint, which needs no import of torch to know."""
    if run.is_dir() and not any((run / "checkpoints").glob("*.pt")):
        from crystalfw.core.model.checkpoint_files import find

        find(run)


def key_type(section: type, name: str) -> Callable[[str], Any]:
    """An argparse type: text read and checked as the recipe's key `name` of a section."""
    from crystalfw.core.recipe.convert import INVALID, Reader, type_hints
    from crystalfw.core.recipe.document import Mistakes, parse

    def read(text: str) -> Any:
        reader = Reader(None)
        try:
            value = reader.read(type_hints(section)[name], parse(text, name, override=True), "")
        except Mistakes as error:
            raise argparse.ArgumentTypeError(error.found[0][1]) from error
        if value is INVALID:
            raise argparse.ArgumentTypeError(reader.mistakes[0][1].removeprefix(": "))
        return value

    return read
