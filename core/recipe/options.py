"""Options -> Config -> component: the one place where components are made.

A recipe's section is a `ComponentSpec` whose `config` was checked when the recipe was read; `build` makes the component
from it. `create` does the same for options given in Python or on the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import Any

from crystalfw.core.discovery import registry
from crystalfw.core.errors import PluginError, RecipeError
from crystalfw.core.interfaces import Component
from crystalfw.core.recipe.convert import INVALID, Reader
from crystalfw.core.recipe.document import Where, wrap
from crystalfw.core.recipe.schema import ComponentSpec
from crystalfw.core.registry import Registry


def make_config(component: type, options: Mapping[str, Any], where: str) -> Any:
    """The component's Config from plain options, checked and coerced as in a recipe.

    Raises PluginError with every unknown, missing or ill-typed option.
    """
    config_type: Any = component.Config  # type: ignore[attr-defined]
    assert is_dataclass(config_type)
    reader = Reader(None)
    config = reader.read(config_type, wrap(dict(options), Where(where)), where)
    if config is INVALID:
        raise PluginError("\n".join(message for _, message in reader.mistakes))
    return config


def create(
    kind: str, name: str, options: Mapping[str, Any] | None = None, *, among: Registry | None = None, **dimensions: Any
) -> Any:
    """The component called `name`: options go into its Config, dimensions to its constructor. Raises PluginError.

    `among`: the registry to look in; default: that of the installed distributions.
    """
    component = (among or registry()).get(kind, name).load()
    return construct(component, make_config(component, options or {}, f"{kind} '{name}'"), **dimensions)


def construct(component: type, config: Any, **dimensions: Any) -> Any:
    """An instance whose `config` is the given one, also if its constructor does not keep it."""
    made = component(config, **dimensions)
    if isinstance(made, Component) and made.config is Component.config:
        made.config = config
    return made


def checked(kind: str, spec: ComponentSpec) -> ComponentSpec:
    """The spec with its Config, as it comes from a recipe; raises PluginError, with the spec's place if it has one."""
    if spec.config is not None:
        return spec
    try:
        component = registry().get(kind, spec.name, override=spec.override).load()
        return replace(spec, config=make_config(component, spec.options, f"{kind} '{spec.name}'"))
    except PluginError as error:
        raise PluginError(f"{spec.where}: {error}" if spec.where else str(error)) from error


def build(kind: str, spec: ComponentSpec, **dimensions: Any) -> Any:
    """The component that `spec` names, from the config that was checked with the recipe; a failure names its line."""
    try:
        component = registry().get(kind, spec.name, override=spec.override).load()
        config = checked(kind, spec).config
    except PluginError as error:
        place = f"{spec.where}: " if spec.where else ""
        raise RecipeError([f"{place}{str(error).removeprefix(place)}"]) from error
    return construct(component, config, **dimensions)
