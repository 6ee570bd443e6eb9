"""Recipes built on others: `extends: smoke` or `extends: other.yaml`, and overrides `a.b=c` from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crystalfw.core.recipe.document import Mistakes, Node, Where, parse, read_document
from crystalfw.core.recipe.installed import base_suggestion, find_base

MAX_EXTENDS = 8


def read_with_bases(path: Path, shown: str, seen: tuple[Path, ...] = ()) -> Node:
    """The tree of a recipe merged over the recipe that it extends, which lies beside it or is installed."""
    node = read_document(path, shown)
    if node.value is None:
        raise Mistakes((node.where, "the recipe is empty"))
    if not isinstance(node.value, dict):
        raise Mistakes((node.where, f"a recipe is a mapping of keys to values; this is {_what(node)}"))
    extends = node.value.pop("extends", None)
    if extends is None:
        return node
    if not isinstance(extends.value, str):
        raise Mistakes((extends.where, "extends: expected the path or the name of one recipe"))
    chain = (*seen, path.resolve())
    base = _base(path, extends, chain)
    beside = base.is_relative_to(path.parent)
    below = read_with_bases(base, str(Path(shown).parent / base.relative_to(path.parent)) if beside else str(base), chain)
    return Node(_merge(below.value, node.value), node.where)


def _base(path: Path, extends: Node, chain: tuple[Path, ...]) -> Path:
    """The file that a recipe extends; raises Mistakes if it is not found or leads back."""
    name = extends.value
    try:
        base = find_base(name, path)
        back = (path.parent / name).is_file() if base is None else base.resolve() in chain
    except (OSError, ValueError, RuntimeError) as error:  # a name of 300 characters, of a zero byte, a circle of links
        raise Mistakes((extends.where, f"extends: '{name[:100]}' is not a file name: {type(error).__name__}")) from error
    if back or len(chain) > MAX_EXTENDS:
        raise Mistakes((extends.where, f"extends: '{name}' leads back to this recipe, or too far"))
    if base is None:
        hint = base_suggestion(name, path)
        raise Mistakes((extends.where, f"extends: no file '{name}' beside this recipe and no installed recipe. {hint}"))
    return base


def overlay(base: Node, top: Node) -> Node:
    """Mappings merge key by key, everything else is replaced. A component with another name keeps none of the options."""
    if not isinstance(top.value, dict) or not isinstance(base.value, (dict, str)):
        return top
    if isinstance(base.value, str):  # the shorthand `encoder: equivariant`, met by options without a name
        base = Node({"name": base}, base.where)
    name, named = top.value.get("name"), base.value.get("name")
    if name is not None and named is not None and name.value != named.value:
        return top
    return Node(_merge(base.value, top.value), top.where)


def _merge(base: dict[str, Node], top: dict[str, Node]) -> dict[str, Node]:
    return base | {key: overlay(base[key], node) if key in base else node for key, node in top.items()}


def apply_override(root: Node, text: str) -> Node:
    """Set one value: `a.b=c`, c read as YAML; list items by number. Raises Mistakes when it has nowhere to go."""
    path, equals, value_text = text.partition("=")
    where = Where(f"override {text}")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise Mistakes((where, "an override has the form a.b=c, for example fit.steps=500"))
    value = parse(value_text, str(where), override=True)
    return _set(root, keys, value, where, path)


def _set(node: Node, keys: Sequence[str], value: Node, where: Where, path: str) -> Node:
    if not keys:
        return Node(value.value, where)
    key, *rest = keys
    if isinstance(node.value, list):
        if not key.isdecimal() or int(key) >= len(node.value):
            raise Mistakes((where, f"{path}: '{key}' is not an item of the list; it has items 0 to {len(node.value) - 1}"))
        items = list(node.value)
        items[int(key)] = _set(items[int(key)], rest, value, where, path)
        return Node(items, node.where)
    if isinstance(node.value, str):
        node = Node({"name": node}, node.where)
    if node.value is not None and not isinstance(node.value, dict):
        raise Mistakes((where, f"{path}: there is nothing below {_what(node)} ({node.where})"))
    entries = dict(node.value or {})
    entries[key] = _set(entries.get(key, Node(None, where)), rest, value, where, path)
    return Node(entries, node.where)


def _what(node: Node) -> str:
    return "a list" if isinstance(node.value, list) else f"the value {node.value!r}"
