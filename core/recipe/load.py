"""load_recipe: a file and overrides -> a checked Recipe, or one error that lists every mistake."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crystalfw.core.errors import RecipeError
from crystalfw.core.recipe.auto_source import source_name
from crystalfw.core.recipe.convert import Reader, type_hints
from crystalfw.core.recipe.document import Mistakes, Node, Where, wrap
from crystalfw.core.recipe.expand import to_plain
from crystalfw.core.recipe.installed import find_recipe
from crystalfw.core.recipe.merge import apply_override, overlay, read_with_bases
from crystalfw.core.recipe.schema import Recipe
from crystalfw.core.registry import Registry


def load_recipe(path: str | Path, overrides: Sequence[str] = (), *, registry: Registry | None = None) -> Recipe:
    """Read a recipe, merge it over the one that it `extends`, apply overrides `a.b=c`, check every key and option.

    `path` is a file, or the bare name of an installed recipe such as `xattn`. Component options come back complete,
    defaults included. Raises RecipeError with all mistakes at once, each with file and line.
    """
    file = find_recipe(path)
    shown = str(path) if Path(path) == file else str(file)
    try:
        root = read_with_bases(file, shown)
    except Mistakes as error:
        raise RecipeError(_listing(error.found)) from error
    root, found = _override(root, overrides)
    entries = {"name": Node(_run_name(file), root.where), **root.value}
    reader = Reader(_process_registry() if registry is None else registry)
    recipe = reader.read(Recipe, Node(_with_source(entries), root.where), "")
    found.extend(reader.mistakes)
    found.extend(_check_name(entries["name"]))
    if found:
        raise RecipeError(_listing(found))
    assert isinstance(recipe, Recipe)
    return recipe


def read_sections(names: Sequence[str], overrides: Sequence[str]) -> list[Any]:
    """Some sections of a recipe that consists of overrides `a.b=c` alone, checked as in a file; the others are not read."""
    root, found = _override(Node({}, Where("(default)")), overrides)
    for key, node in root.value.items():
        if key not in names:
            found.append((node.where, f"{key}: only keys of {' and '.join(names)} are used here"))
    reader, hints = Reader(_process_registry()), type_hints(Recipe)
    defaults = {name: to_plain(getattr(Recipe(), name)) for name in names}
    below = {name: wrap(default, root.where) for name, default in defaults.items()}
    entries = {name: overlay(node, root.value[name]) if name in root.value else node for name, node in below.items()}
    sections = [reader.read(hints[name], node, name) for name, node in _with_source(entries).items()]
    found.extend(reader.mistakes)
    if found:
        raise RecipeError(_listing(found))
    return sections


def _override(root: Node, overrides: Sequence[str]) -> tuple[Node, list[tuple[Where, str]]]:
    """The tree with the overrides applied, and the overrides' mistakes."""
    found: list[tuple[Where, str]] = []
    for override in overrides:
        try:
            root = apply_override(root, override)
        except Mistakes as error:
            found.extend(error.found)
    return root, found


def _process_registry() -> Registry:
    from crystalfw.core.discovery import registry

    return registry()


def _run_name(file: Path) -> str:
    """The run is named after the recipe's file unless the recipe sets a name."""
    return re.sub(r"[^\w.-]+", "_", file.stem) or "run"


def _check_name(node: Node) -> list[tuple[Where, str]]:
    if isinstance(node.value, str) and not re.fullmatch(r"[\w-][\w.-]*", node.value):
        return [(node.where, f"name: {node.value!r} becomes a folder: use letters, digits, '_', '-' and '.' only")]
    return []


def _with_source(entries: dict[str, Node]) -> dict[str, Node]:
    """Replace the source `auto` by the source that it means, so that the expanded recipe names it."""
    data = entries.get("data", Node({}, Where("(default)")))
    if not isinstance(data.value, dict):
        return entries
    source = data.value.get("source", Node("auto", data.where))
    options = source.value if isinstance(source.value, dict) else {"name": source}
    named = options.get("name", Node("auto", source.where))
    path = data.value.get("path", Node(None, data.where)).value
    if named.value != "auto" or not isinstance(path, (str, type(None))):
        return entries
    chosen = {**options, "name": Node(source_name(path), named.where)}
    return {**entries, "data": dataclasses.replace(data, value={**data.value, "source": Node(chosen, source.where)})}


def _listing(found: Sequence[tuple[Where, str]]) -> list[str]:
    """Mistakes in the order of files and lines; suggestions follow on a second, indented line."""
    lines = []
    for where, message in sorted(dict.fromkeys(found), key=lambda pair: pair[0]):
        key = where.file.removeprefix("override ").partition("=")[0]
        text = f"{where}: {message.removeprefix(f'{key}: ')}"
        lines.append(re.sub(r"\. (?=Did you|There are|Others|Options)", ".\n  ", text, count=1))
    return lines
