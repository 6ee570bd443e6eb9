"""Recipe -> plain mapping -> YAML with every key written out: the run folder keeps it, and it suffices to reproduce the run."""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml

from crystalfw.core.recipe.document import Dumper
from crystalfw.core.recipe.schema import ComponentSpec, Recipe


def expand(recipe: Recipe) -> str:
    """YAML text in the order of the schema, component defaults included; loading it gives an equal Recipe."""
    import crystalfw

    header = f"# Every key written out by crystalfw {crystalfw.__version__}; this file alone reproduces the run.\n"
    body = yaml.dump(recipe_to_dict(recipe), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)
    return header + body


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as mappings, lists and scalars, as YAML and JSON know them."""
    plain = to_plain(recipe)
    assert isinstance(plain, dict)
    return plain


def to_plain(value: Any) -> Any:
    """Dataclasses and ComponentSpecs as mappings, tuples and sets as lists (sets sorted), scalars as they are."""
    if isinstance(value, ComponentSpec):
        owner = {} if value.override is None else {"override": value.override}
        return {"name": value.name, **owner, **{key: to_plain(item) for key, item in value.options.items()}}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value) if item.init}
    if isinstance(value, (set, frozenset)):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, (list, tuple)) and any(isinstance(item, ComponentSpec) and item.label for item in value):
        return {spec.label or spec.name: _entry(spec) for spec in value}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if hasattr(value, "items"):
        return {key: to_plain(item) for key, item in value.items()}
    return value


def _entry(spec: ComponentSpec) -> dict[str, Any]:
    """A metric in a mapping of metrics, which are the only components that have labels."""
    plain = to_plain(spec)
    return {"metric": plain.pop("name"), **plain}
