"""Every `crystalfw ...` line of the texts is parsed by the real parser; nothing is run.

Read are the Markdown pages, the recipes' comments and every string of the Python files: lines that begin with crystalfw, and
what stands between backticks. A line ends at two spaces, a comment, a pipe or a redirection. Placeholders such as RUN are
plain arguments. Left out: what contains `...`, `<` or `[a]`. Backticks in a sentence may name a command without its arguments.
"""

from __future__ import annotations

import ast
import difflib
import re
import shlex
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pytest

from crystalfw.core.commands import cli
from crystalfw.core.commands.parser import Parser
from crystalfw.core.errors import CrystalfwError

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "recipes").rglob("*.md")),
    *sorted((ROOT / "core").rglob("*.md")), *sorted((ROOT / "plugins").rglob("*.md")),
]  # fmt: skip
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
CODE = [file for folder in ("core", "plugins") for file in sorted((ROOT / folder).rglob("*.py"))]
STAND_INS = {"KIND": "encoder", "SHELL": "bash", "N": "1", "NUMBER": "1"}
"""Values of placeholders where only some are allowed."""
PLACE = "PLACEHOLDER"
"""What a f-string puts in."""
ROOT_OPTIONS = {"-h", "--help", "-V", "--version", "--print-completion"}
_BEFORE = re.compile(r"^(?:\$ |srun |time |[A-Z_]+=\S+ )*(?=crystalfw )")
_END = re.compile(r"\s{2,}|\s#|\s[|>]|\s&(?=\s|$)|\)\s")
_SKIPPED = re.compile(r"\.\.\.|…|<|\[\w+\]|COMMAND")


class Command(NamedTuple):
    """A command as a text has it."""

    text: str
    inline: bool
    """Between backticks in a sentence."""


def commands_of(text: str) -> Iterator[Command]:
    """The commands of a text, both kinds."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r" && |; ", line.strip().removeprefix("#").strip()):
            start = _BEFORE.match(part)
            if start:
                yield Command(_END.split(part[start.end() :])[0], inline=False)
    for found in re.findall(r"(?<!`)`(crystalfw\s[^`]+)`(?!`)", text):
        yield Command(_END.split(" ".join(found.split()))[0], inline=True)


def strings_of(tree: ast.AST) -> Iterator[str]:
    """Every string of a Python file; a f-string with stand-ins for its values."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else PLACE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def commands_in(file: Path) -> list[Command]:
    text = file.read_text(encoding="utf-8")
    texts = strings_of(ast.parse(text)) if file.suffix == ".py" else [text]
    # a sentence of a message ends with its command: `continue with: crystalfw run --resume X`
    texts = [re.sub(r"(?<=with: )(?=crystalfw )", "\n", item) for item in texts]
    return [command for item in texts for command in commands_of(item) if not _SKIPPED.search(command.text)]


@lru_cache
def parser(command: str) -> Parser:
    return cli.make_parser(command)


def problem(command: Command) -> str:
    """What the parser says against a command; empty where it takes it."""
    try:
        _, first, *rest = (STAND_INS.get(word, word) for word in shlex.split(command.text))
    except ValueError as error:
        return str(error)
    if first in ROOT_OPTIONS:
        return ""
    if first not in cli.COMMANDS:
        meant = difflib.get_close_matches(first, cli.COMMANDS, n=1, cutoff=0.65)
        prose = not command.inline and not meant  # a sentence's line that happens to begin with crystalfw
        return "" if prose or PLACE in command.text else f"there is no command {first}"
    try:
        parser(first).parse(rest)
    except SystemExit:  # --help
        return ""
    except CrystalfwError as error:
        named_only = command.inline and ": give " in str(error)
        return "" if named_only or PLACE in str(error) else str(error).splitlines()[0]
    return ""


@pytest.mark.parametrize("file", [*PAGES, *RECIPES, *CODE], ids=lambda file: str(file.relative_to(ROOT)))
def test_the_commands_parse(file):
    wrong = [f"{command.text}\n    {said}" for command in commands_in(file) if (said := problem(command))]
    assert not wrong, "\n" + "\n".join(wrong)


def test_the_texts_have_commands():
    assert sum(len(commands_in(file)) for file in PAGES) > 60
    assert sum(len(commands_in(file)) for file in RECIPES) > 15
    assert sum(len(commands_in(file)) for file in CODE) > 40


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_texts_name_commands_that_parse(command):
    text = parser(command).format_help().partition("\n\n")[2]  # the usage line shows what may be left out in brackets
    wrong = [said for found in commands_of(text) if not _SKIPPED.search(found.text) and (said := problem(found))]
    assert not wrong


def test_the_reader_sees_what_it_must():
    text = "```bash\ncd x && crystalfw sample RUN --temprature 1   # why\n```\n`crystalfw codec\nfit` and `crystalfw rnu a`\n"
    found = list(commands_of(text))
    assert [command.text for command in found] == [
        "crystalfw sample RUN --temprature 1",
        "crystalfw codec fit",
        "crystalfw rnu a",
    ]
    assert [bool(problem(command)) for command in found] == [True, False, True]
    assert problem(Command("crystalfw codec fit", inline=False))
    (text,) = strings_of(ast.parse("f'continue with: crystalfw run --resume {a}'"))
    assert text == f"continue with: crystalfw run --resume {PLACE}"
