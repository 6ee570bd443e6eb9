"""YAML text -> a tree of nodes that know their file and line.

Only plain data is read: mappings, lists and scalars. Scalars follow the YAML 1.2 core schema, not PyYAML's 1.1, because
there `No` (nobelium) is a boolean and `1e-3` is text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import yaml

from crystalfw.core.errors import CrystalfwError, RecipeError

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
MAX_NUMBER = 300
"""Digits of a whole number: beyond a float's range, and below the thousands that Python refuses to read."""
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, order=True)
class Where:
    """A place in a recipe: file and line, or (line 0) an override as it was typed."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Node:
    """A value and its place: a scalar, a list of Nodes or a dict from text to Node. A dict's value sits where its key is."""

    value: Any
    where: Where

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def wrap(value: Any, where: Where) -> Node:
    """A plain Python value as nodes that all sit at one place."""
    if isinstance(value, Mapping):
        return Node({str(key): wrap(item, where) for key, item in value.items()}, where)
    if isinstance(value, (list, tuple, set, frozenset)):
        return Node([wrap(item, where) for item in value], where)
    if isinstance(value, os.PathLike):
        return Node(os.fspath(value), where)
    if isinstance(value, Real) and not isinstance(value, bool):
        return Node(int(value) if isinstance(value, Integral) else float(value), where)
    return Node(value, where)


class Mistakes(CrystalfwError):  # noqa: N818 - holds several mistakes, becomes a RecipeError
    """Mistakes found while parsing, each with its place."""

    def __init__(self, *found: tuple[Where, str]) -> None:
        self.found = list(found)
        super().__init__("\n".join(f"{where}: {message}" for where, message in found))


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2; used to compose nodes only, nothing is constructed."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own type


_NUMBERS = {
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
}


def _add_resolvers(target: Any) -> None:
    for name, pattern in _NUMBERS.items():
        target.add_implicit_resolver(_TAG + name, re.compile(f"^(?:{pattern.pattern})$"), list("-+.0123456789"))


_Loader.add_implicit_resolver(_TAG + "bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(_TAG + "null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(_TAG + "merge", re.compile(r"^(?:<<)$"), ["<"])
_add_resolvers(_Loader)


class Dumper(yaml.SafeDumper):
    """SafeDumper that also quotes text that only YAML 1.2 reads as a number, such as '1e-3'."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal lists in full instead of as references to the first."""
        return True


def _represent_list(dumper: Dumper, data: list[Any]) -> yaml.Node:
    """Lists of scalars on one line, others item by item."""
    short = all(not isinstance(item, (list, dict)) for item in data)
    return dumper.represent_sequence(_TAG + "seq", data, flow_style=short)


Dumper.add_representer(list, _represent_list)
_add_resolvers(Dumper)


def read_document(path: Path, shown: str) -> Node:
    """The tree of a YAML file; raises RecipeError when the file cannot be read, Mistakes for what is wrong in it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecipeError([f"{shown}: the recipe cannot be read: {error.strerror}"]) from error
    if len(data) > MAX_BYTES:
        raise RecipeError([f"{shown}: {len(data):,} bytes are too many for a recipe (at most {MAX_BYTES:,})"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RecipeError([f"{shown}:{line}: a recipe is UTF-8 text; byte {data[error.start]:#04x} is not"]) from error
    return parse(text, shown)


def parse(text: str, shown: str, *, override: bool = False) -> Node:
    """The tree of YAML text; `shown` names the file, or the override (which has no lines)."""
    loader = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        return _Builder(shown, override).build(root) if root is not None else Node(None, Where(shown, 0 if override else 1))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 0 if override or mark is None else mark.line + 1
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise Mistakes((Where(shown, line), f"not valid YAML: {problem}")) from error
    except yaml.YAMLError as error:
        raise Mistakes((Where(shown), f"not valid YAML: {error}")) from error
    except RecursionError as error:
        raise Mistakes((Where(shown), "nested too deeply")) from error
    finally:
        if loader is not None:
            loader.dispose()


class _Builder:
    """Turns PyYAML's nodes into ours; aliases are expanded, so their number is bounded."""

    def __init__(self, shown: str, override: bool) -> None:
        self.shown, self.override = shown, override
        self.count = 0
        self.open: set[int] = set()
        self.mistakes: list[tuple[Where, str]] = []

    def build(self, root: yaml.Node) -> Node:
        node = self.node(root, self.place(root))
        if self.mistakes:
            raise Mistakes(*self.mistakes)
        return node

    def place(self, node: yaml.Node) -> Where:
        return Where(self.shown, 0 if self.override else node.start_mark.line + 1)

    def node(self, node: yaml.Node, where: Where) -> Node:
        self.count += 1
        if self.count > MAX_NODES:
            raise Mistakes((where, f"more than {MAX_NODES:,} values, aliases expanded, are too many for a recipe"))
        if id(node) in self.open:
            raise Mistakes((where, "an alias that contains itself"))
        self.open.add(id(node))
        try:
            return Node(self.value(node), where)
        finally:
            self.open.discard(id(node))

    def value(self, node: yaml.Node) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self.mapping(node)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.node(item, self.place(item)) for item in node.value]
        if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
            if kind == "int" and len(node.value) > MAX_NUMBER:
                self.mistakes.append((self.place(node), f"a whole number of {len(node.value):,} digits"))
                return None
            return _SCALARS[kind](node.value)
        self.mistakes.append((self.place(node), f"the tag {node.tag!r} is refused: a recipe holds plain data only"))
        return None

    def mapping(self, node: yaml.MappingNode) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key_node, value_node in node.value:
            where = self.place(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.mistakes.append((where, "a key must be plain text"))
            elif key_node.tag == _TAG + "merge":
                self.mistakes.append((where, "merge keys (<<) are not read; build on another recipe with 'extends: FILE'"))
            elif key_node.value in found:
                first = found[key_node.value].where
                self.mistakes.append((where, f"the key '{key_node.value}' is already on line {first.line}; keep one"))
            else:
                found[key_node.value] = self.node(value_node, where)
        return found


def _integer(text: str) -> int:
    prefixes = {"0o": 8, "0x": 16}
    return int(text[2:], prefixes[text[:2]]) if text[:2] in prefixes else int(text)


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_SCALARS: dict[str, Any] = {
    "str": str,
    "int": _integer,
    "float": _float,
    "bool": lambda text: text.lower() == "true",
    "null": lambda text: None,
}
