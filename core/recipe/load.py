"""load_recipe: a file and overrides -> a checked Recipe, or one error that lists every mistake."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from crystalfw.core.errors import RecipeError, did_you_mean
from crystalfw.core.recipe.auto_source import source_name
from crystalfw.core.recipe.convert import Reader
from crystalfw.core.recipe.document import Mistakes, Node, Where
from crystalfw.core.recipe.merge import apply_override, read_with_bases
from crystalfw.core.recipe.schema import Recipe
from crystalfw.core.registry import Registry

GRIDS = "ablations"
"""Sub-folder of recipes/ that holds grids."""


def load_recipe(path: str | Path, overrides: Sequence[str] = (), *, registry: Registry | None = None) -> Recipe:
    """Read a recipe, lay it over what it `extends`, apply overrides `a.b=c`, check every key and every option.

    `path` is a file, or the bare name of an installed recipe such as `xattn`. Component options come back complete,
    defaults included. Raises RecipeError with all mistakes at once, each with file and line.
    """
    file = find_recipe(path)
    shown = str(path) if Path(path) == file else str(file)
    try:
        root = read_with_bases(file, shown)
    except Mistakes as error:
        raise RecipeError(_listing(error.found)) from error
    found: list[tuple[Where, str]] = []
    for override in overrides:
        try:
            root = apply_override(root, override)
        except Mistakes as error:
            found.extend(error.found)
    if registry is None:
        from crystalfw.core.discovery import registry as process_registry

        registry = process_registry()
    entries = {"name": Node(_run_name(file), root.where), **root.value}
    reader = Reader(registry)
    recipe = reader.read(Recipe, Node(_with_source(entries), root.where), "")
    found.extend(reader.mistakes)
    found.extend(_check_name(entries["name"]))
    if found:
        raise RecipeError(_listing(found))
    assert isinstance(recipe, Recipe)
    return recipe


def find_recipe(path: str | Path) -> Path:
    """The file: as given, or the installed recipe of that bare name. Raises RecipeError listing what is installed."""
    given = Path(path)
    if given.is_file():
        return given
    installed = installed_recipes()
    name = str(path).removesuffix(".yaml")
    if name in installed:
        return installed[name]
    if given.is_dir() and (given / "recipe.yaml").is_file():
        return given / "recipe.yaml"
    reason = "is a folder without recipe.yaml" if given.is_dir() else "no such recipe"
    raise RecipeError([f"{path}: {reason}.\n  {did_you_mean(name, installed, 'Installed recipes')}"])


def installed_recipes() -> dict[str, Path]:
    """Name -> file of the recipes that come with crystalfw; those in sub-folders as `folder/name`. Grids are no recipes."""
    return {name: file for name, file in _installed().items() if file.parent.name != GRIDS}


def installed_grids() -> dict[str, Path]:
    """Name -> file of the grids for `crystalfw ablate` that come with crystalfw."""
    return {file.stem: file for file in _installed().values() if file.parent.name == GRIDS}


def _installed() -> dict[str, Path]:
    """Every YAML file that comes with crystalfw, by its place below recipes/."""
    from importlib.util import find_spec

    spec = find_spec("crystalfw.recipes")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    found = {file.relative_to(top).with_suffix("").as_posix(): file for top in folders for file in top.rglob("*.yaml")}
    return dict(sorted(found.items(), key=lambda pair: ("/" in pair[0], pair[0])))


def _run_name(file: Path) -> str:
    """The run is called after the recipe's file unless it says otherwise."""
    return re.sub(r"[^\w.-]+", "_", file.stem) or "run"


def _check_name(node: Node) -> list[tuple[Where, str]]:
    if isinstance(node.value, str) and not re.fullmatch(r"[\w-][\w.-]*", node.value):
        return [(node.where, f"name: {node.value!r} becomes a folder: use letters, digits, '_', '-' and '.' only")]
    return []


def _with_source(entries: dict[str, Node]) -> dict[str, Node]:
    """Replace the source `auto` by what it stands for, so that the expanded recipe says it."""
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
    """Mistakes in the order of files and lines; what could be meant instead stands on a second, indented line."""
    lines = []
    for where, message in sorted(dict.fromkeys(found), key=lambda pair: pair[0]):
        key = where.file.removeprefix("override ").partition("=")[0]
        text = f"{where}: {message.removeprefix(f'{key}: ')}"
        lines.append(re.sub(r"\. (?=Did you|There are|Others|Options)", ".\n  ", text, count=1))
    return lines
