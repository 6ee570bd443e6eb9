"""What a component does: its documentation, options with types and defaults, and how it fits with other parts."""

from __future__ import annotations

import argparse
import inspect
import textwrap
from typing import Any

from crystalfw.core.discovery import registry
from crystalfw.core.errors import PluginError
from crystalfw.core.interfaces import Component
from crystalfw.core.recipe.field_docs import FieldDoc, field_docs
from crystalfw.core.registry import KINDS, Entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw describe`."""
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("name", help="component, as `crystalfw plugins KIND` lists it")
    parser.add_argument("--from", dest="owner", metavar="DISTRIBUTION", help="where two distributions offer the name")


def run(args: argparse.Namespace) -> int:
    """Print the description; raises PluginError for an unknown name or one that cannot be loaded."""
    print(describe(registry().get(args.kind, args.name, override=args.owner)))
    return 0


def describe(entry: Entry) -> str:
    """The description of one registered component as plain text."""
    component = entry.load()
    if not issubclass(component, Component):
        raise PluginError(f"{entry.kind} '{entry.name}' of {entry.origin} is no Component; see crystalfw.core.interfaces")
    parts = [f"{entry.kind} {entry.name}  ({entry.origin}, {component.__module__}.{component.__qualname__})"]
    parts.append(inspect.cleandoc(component.__doc__ or entry.summary or "No documentation."))
    facts = [f"{label}: {value}" for label, value in _facts(component)]
    if facts:
        parts.append("\n".join(facts))
    options = field_docs(component.Config)
    parts.append("options:\n" + "\n".join(map(_option, options)) if options else "options: none")
    return "\n\n".join(parts)


def _facts(component: type) -> list[tuple[str, str]]:
    """The class attributes by which parts are fitted together, in words."""
    found: list[tuple[str, str]] = []
    for name, label in (
        ("port", "needs the decoder's port"),
        ("ports", "offers ports"),
        ("requires", "reads from each crystal"),
        ("stage", "runs at stage"),
    ):
        value: Any = getattr(component, name, None)
        if isinstance(value, (set, frozenset)):
            value = ", ".join(sorted(value))
        if isinstance(value, str) and value:
            found.append((label, value))
    return found


def _option(option: FieldDoc) -> str:
    default = "required" if option.required else f"default {_yaml(option.default)}"
    sentence = textwrap.fill(option.sentence, 100, initial_indent="      ", subsequent_indent="      ")
    return f"  {option.name}: {option.type}; {default}" + (f"\n{sentence}" if option.sentence else "")


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...")
