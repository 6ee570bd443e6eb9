"""Nodes -> typed dataclasses, collecting every mistake instead of stopping at the first.

The same reader checks the recipe's sections and the components' Config dataclasses; `describe_type` puts a type into words
for error messages. Values are converted only if nothing is lost: int to float, 1e4 to int, list to tuple.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import types
from collections.abc import Mapping
from types import NoneType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from crystalfw.core.errors import CrystalfwError
from crystalfw.core.recipe.document import Node, Where, wrap
from crystalfw.core.recipe.merge import overlay
from crystalfw.core.recipe.schema import Bounds, ComponentSpec, Kind, Named, Recipe
from crystalfw.core.registry import Registry

INVALID: Any = object()
"""Marks a value whose mistake has been recorded."""
DEFAULT = Where("(default)")
_WORDS: dict[Any, str] = {
    int: "an integer", float: "a number", str: "text", bool: "true or false", type(None): "null", Any: "any value",
}  # fmt: skip
_LISTS = (list, tuple, frozenset, set, collections.abc.Sequence)
_MAPPINGS = (dict, collections.abc.Mapping)


def describe_type(hint: Any) -> str:
    """A type in words, e.g. 'a list of integers' or "one of 'val', 'test'"."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        kinds = [item.name for item in hint.__metadata__ if isinstance(item, Kind)]
        bounds = [str(item) for item in hint.__metadata__ if isinstance(item, Bounds)]
        named = [f"or a mapping of names to {item.kind}s" for item in hint.__metadata__ if isinstance(item, Named)]
        return f"the name of {_article(kinds[0])}" if kinds else " ".join([describe_type(args[0]), *bounds, *named])
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(arg) for arg in args)
    if origin is Literal:
        values = ", ".join(repr(arg) for arg in args)
        return f"one of {values}" if len(args) > 1 else values
    if origin is tuple and Ellipsis not in args:
        return f"a list of {len(args)} ({', '.join(describe_type(arg) for arg in args)})"
    if origin in _LISTS:
        return f"a list, each {describe_type(args[0])}"
    if origin in _MAPPINGS:
        return f"a mapping to {describe_type(args[1])}"
    if dataclasses.is_dataclass(hint):
        return "a component's name" if hint is ComponentSpec else "a mapping of options"
    if hint in _LISTS or hint in _MAPPINGS:
        return "a list" if hint in _LISTS else "a mapping"
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def type_hints(cls: type) -> dict[str, Any]:
    """The resolved annotations of a dataclass, Annotated extras kept."""
    return get_type_hints(cls, include_extras=True)


class Reader:
    """Reads nodes as types; `mistakes` fills up as it goes."""

    def __init__(self, registry: Registry | None) -> None:
        self.registry = registry
        self.mistakes: list[tuple[Where, str]] = []

    def mistake(self, where: Where, message: str) -> Any:
        """Record a mistake and return the marker for it."""
        self.mistakes.append((where, message))
        return INVALID

    def read(self, hint: Any, node: Node, path: str, kind: str = "") -> Any:
        """The node's value as `hint`, or INVALID; `kind` is the registry kind that a bare ComponentSpec has here."""
        origin, args = get_origin(hint), get_args(hint)
        if hint is Any or hint is object:
            return node.plain()
        if origin is Annotated:
            return self._annotated(hint, node, path, kind)
        if origin in (Union, types.UnionType):
            return self._union(args, node, path, kind)
        if origin is Literal:
            return (
                node.value
                if any(node.value == arg and type(node.value) is type(arg) for arg in args)
                else self._wrong(hint, node, path)
            )
        if origin in _LISTS or hint in _LISTS:
            return self._list(origin or hint, args or (Any, ...), hint, node, path, kind)
        if origin in _MAPPINGS or hint in _MAPPINGS:
            return self._mapping(args or (str, Any), hint, node, path, kind)
        if hint is ComponentSpec:
            return self.component(node, path, kind)
        if dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)
            return self.dataclass(hint, node, path, kind)
        return self._scalar(hint, node, path)

    def dataclass(self, cls: type, node: Node, path: str, kind: str = "") -> Any:
        """An instance of a dataclass; unknown and missing keys, and what its __post_init__ refuses, are mistakes."""
        if isinstance(node.value, cls):
            return node.value
        if node.value is None:  # a section whose lines are all commented out
            node = Node({}, node.where)
        if not isinstance(node.value, dict):
            return self._wrong(cls, node, path)
        fields = {item.name: item for item in dataclasses.fields(cls) if item.init}
        hints, before = type_hints(cls), len(self.mistakes)
        for key, child in node.value.items():
            if key not in fields:
                self.mistake(child.where, _unknown_key(cls, path, key))
        values: dict[str, Any] = {}
        for name, item in fields.items():
            child_path = f"{path}.{name}" if path else name
            if name in node.value:
                child = _over_default(_default(item), node.value[name])
                values[name] = self.read(hints[name], child, child_path, kind)
            elif _default(item) is dataclasses.MISSING:
                self.mistake(node.where, f"{path or cls.__name__}: '{name}' is missing; give {describe_type(hints[name])}")
            else:
                values[name] = self._complete(hints[name], _default(item), child_path, kind)
        if len(self.mistakes) > before:
            return INVALID
        try:
            return cls(**values)
        except (ValueError, CrystalfwError) as error:
            named = [child.where for key, child in node.value.items() if key in str(error)]
            return self.mistake(named[0] if named else node.where, f"{path}: {error}" if path else str(error))

    def component(self, node: Node, path: str, kind: str) -> ComponentSpec | Any:
        """A component's name, or a mapping with `name` and its options, checked against its Config."""
        assert kind, f"{path}: a ComponentSpec field needs Annotated[ComponentSpec, Kind(...)]"
        if isinstance(node.value, ComponentSpec):
            node = _spec_node(node.value, node.where)
        entries = {"name": node} if isinstance(node.value, str) else node.value
        if not isinstance(entries, dict) or not isinstance(entries.get("name", Node(None, node.where)).value, str):
            shown = "" if isinstance(entries, dict) else f", not {_show(node)}"
            return self.mistake(
                node.where, f"{path}: expected the name of {_article(kind)}, or a mapping with 'name' and options{shown}"
            )
        name = entries["name"]
        override = entries.get("override", Node(None, node.where)).value
        component = self._load(kind, name, override, f"{path}.name" if isinstance(node.value, dict) else path)
        if component is INVALID:
            return INVALID
        options = Node({key: child for key, child in entries.items() if key not in ("name", "override")}, name.where)
        config = self.dataclass(component.Config, options, path, kind)
        if config is INVALID:
            return INVALID
        complete = {item.name: getattr(config, item.name) for item in dataclasses.fields(config) if item.init}
        return ComponentSpec(name=name.value, options=complete, override=override, where=str(name.where), config=config)

    def _load(self, kind: str, name: Node, override: Any, path: str) -> Any:
        if self.registry is None:
            from crystalfw.core.discovery import registry

            self.registry = registry()
        try:
            return self.registry.get(kind, name.value, override=override).load()
        except CrystalfwError as error:
            return self.mistake(name.where, f"{path}: {error}")

    def _complete(self, hint: Any, default: Any, path: str, kind: str) -> Any:
        """A default as it would be read from the recipe: components and sections in it get their own defaults."""
        if dataclasses.is_dataclass(default) or _holds_components(default):
            return self.read(hint, _default_node(default), path, kind)
        return default

    def _annotated(self, hint: Any, node: Node, path: str, kind: str) -> Any:
        inner, *extras = get_args(hint)
        kind = next((item.name for item in extras if isinstance(item, Kind)), kind)
        bounds = [item for item in extras if isinstance(item, Bounds)]
        named = [item for item in extras if isinstance(item, Named)]
        if named and isinstance(node.value, dict):
            return self._named(node.value, path, named[0].kind)
        if not bounds:
            return self.read(inner, node, path, kind)
        value = Reader(self.registry).read(inner, node, path, kind)
        return value if value is not INVALID and value in bounds[0] else self._wrong(hint, node, path)

    def _named(self, entries: Mapping[str, Node], path: str, kind: str) -> Any:
        """Components by name: `gap: {metric: conditional, predictor: ...}`; an entry without its kind's key is its name."""
        specs = []
        for label, child in entries.items():
            options = child.value if isinstance(child.value, dict) else {}
            # an override on the shorthand `gap: conditional` writes the name under `name`
            given = options.get(kind, options.get("name", Node(label, child.where)))
            name = child if isinstance(child.value, str) else given
            rest = {key: item for key, item in options.items() if key != kind}
            whole = Node({**rest, "name": name}, child.where) if isinstance(child.value, (dict, str, NoneType)) else child
            spec = self.component(whole, f"{path}.{label}", kind)
            specs.append(spec if spec is INVALID else dataclasses.replace(spec, label="" if label == spec.name else label))
        return INVALID if any(spec is INVALID for spec in specs) else tuple(specs)

    def _union(self, args: tuple[Any, ...], node: Node, path: str, kind: str) -> Any:
        exact = [arg for arg in args if isinstance(arg, type) and type(node.value) is arg]
        attempts: list[Reader] = []
        for arg in [*exact, *(arg for arg in args if arg not in exact)]:
            attempt = Reader(self.registry)
            value = attempt.read(arg, node, path, kind)
            if not attempt.mistakes:
                return value
            attempts.append(attempt)
        structured = [a for a, arg in zip(attempts, [*exact, *(x for x in args if x not in exact)], strict=True) if _deep(arg)]
        if len(structured) == 1 and isinstance(node.value, (dict, list)):
            self.mistakes.extend(structured[0].mistakes)
            return INVALID
        return self._wrong(Union[args], node, path)  # noqa: UP007 - built from a runtime tuple

    def _list(self, origin: Any, args: tuple[Any, ...], hint: Any, node: Node, path: str, kind: str) -> Any:
        if not isinstance(node.value, list):
            return self._wrong(hint, node, path)
        fixed = origin is tuple and Ellipsis not in args
        if fixed and len(args) != len(node.value):
            return self._wrong(hint, node, path)
        inner = args if fixed else [args[0]] * len(node.value)
        values = [
            self.read(arg, item, f"{path}[{i}]", kind) for i, (arg, item) in enumerate(zip(inner, node.value, strict=True))
        ]
        if any(value is INVALID for value in values):
            return INVALID
        builders: dict[Any, Any] = {list: list, frozenset: frozenset, set: set}
        return builders.get(origin, tuple)(values)

    def _mapping(self, args: tuple[Any, ...], hint: Any, node: Node, path: str, kind: str) -> Any:
        if not isinstance(node.value, dict):
            return self._wrong(hint, node, path)
        values = {}
        for key, child in node.value.items():
            read_key = int(key) if args[0] is int and key.lstrip("-").isdecimal() else key
            values[read_key] = self.read(args[1], child, f"{path}.{key}", kind)
        return INVALID if any(value is INVALID for value in values.values()) else values

    def _scalar(self, hint: Any, node: Node, path: str) -> Any:
        value = node.value
        if hint in (None, type(None)):
            return None if value is None else self._wrong(hint, node, path)
        if hint is float and type(value) is int:
            return float(value)
        if hint is int and type(value) is float and value.is_integer():
            return int(value)
        return value if type(value) is hint else self._wrong(hint, node, path)

    def _wrong(self, hint: Any, node: Node, path: str) -> Any:
        quote = " (quote it if it is text)" if hint is str and type(node.value) in (int, float, bool) else ""
        return self.mistake(node.where, f"{path}: expected {describe_type(hint)}, got {_show(node)}{quote}")


def _unknown_key(cls: type, path: str, key: str) -> str:
    """The message about an unknown key; it also looks for the key in the other sections."""
    known = [item.name for item in dataclasses.fields(cls) if item.init]
    near = difflib.get_close_matches(key, known, n=1)
    if not near and cls.__module__ == Recipe.__module__:
        near = [f"{section}.{key}" for section, keys in _sections().items() if key in keys]
    hint = f"Did you mean '{near[0]}'?" if near else f"Options: {', '.join(known) or 'none'}."
    return f"{path or 'recipe'}: no option called '{key}'. {hint}"


def _sections() -> dict[str, list[str]]:
    """Section of a recipe -> its keys."""
    sections = {name: hint for name, hint in type_hints(Recipe).items() if dataclasses.is_dataclass(hint)}
    return {name: [item.name for item in dataclasses.fields(hint)] for name, hint in sections.items()}


def _show(node: Node) -> str:
    if isinstance(node.value, (dict, list)):
        return "a mapping" if isinstance(node.value, dict) else "a list"
    if node.value is None or isinstance(node.value, bool):
        return "nothing" if node.value is None else str(node.value).lower()
    return repr(node.value)


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _deep(hint: Any) -> bool:
    return (
        dataclasses.is_dataclass(hint) or get_origin(hint) in (*_LISTS, *_MAPPINGS, Annotated) or hint in (*_LISTS, *_MAPPINGS)
    )


def _holds_components(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(isinstance(item, ComponentSpec) for item in value)


def _default(item: dataclasses.Field[Any]) -> Any:
    """A field's default, or MISSING."""
    if item.default_factory is not dataclasses.MISSING:
        return item.default_factory()
    return item.default


def _over_default(default: Any, node: Node) -> Node:
    """The defaults of a section or component, replaced by the options that are given."""
    if dataclasses.is_dataclass(default) and isinstance(node.value, dict):
        return Node(overlay(_default_node(default), node).value, node.where)
    return node


def _default_node(value: Any) -> Node:
    """A default as nodes, as deep as sections and components go."""
    if isinstance(value, ComponentSpec):
        return _spec_node(value, DEFAULT)
    if dataclasses.is_dataclass(value):
        fields = [item.name for item in dataclasses.fields(value) if item.init]
        return Node({name: _default_node(getattr(value, name)) for name in fields}, DEFAULT)
    if _holds_components(value):
        return Node([_default_node(item) for item in value], DEFAULT)
    return wrap(value, DEFAULT)


def _spec_node(spec: ComponentSpec, where: Where) -> Node:
    entries: Mapping[str, Any] = {"name": spec.name, **spec.options}
    if spec.override is not None:
        entries = {**entries, "override": spec.override}
    return Node({key: wrap(item, where) for key, item in entries.items()}, where)
