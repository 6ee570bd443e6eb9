"""What a component does: its documentation, options with types and defaults, and how it fits with other parts."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import textwrap
from typing import Any

from crystalfw.core.commands.parser import add_json
from crystalfw.core.discovery import registry
from crystalfw.core.errors import PluginError
from crystalfw.core.interfaces import Component
from crystalfw.core.recipe.field_docs import FieldDoc, field_docs
from crystalfw.core.registry import KINDS, Entry

_LABELS = {
    "port": "needs the decoder's port",
    "ports": "offers ports",
    "requires": "reads from each crystal",
    "stage": "runs at stage",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw describe`."""
    parser.add_argument("kind", choices=(*KINDS, "model"), help="kind of component, or `model`")
    parser.add_argument("name", help="component, as `crystalfw plugins KIND` lists it, or a delivered model")
    parser.add_argument(
        "--from", dest="owner", metavar="DISTRIBUTION", help="which distribution to take, if two offer the name"
    )
    add_json(parser, "kind, name, origin, class, documentation, facts, options [{name, type, default, required, sentence}]")


def run(args: argparse.Namespace) -> int:
    """Print the description; raises PluginError for an unknown name or one that cannot be loaded."""
    if args.kind == "model":
        from crystalfw.core.commands.models import described, known_model
        from crystalfw.core.packaged import read_card

        card = read_card(known_model(args.name).folder())
        print(json.dumps(dataclasses.asdict(card), indent=2) if args.json else described(card))
        return 0
    entry = registry().get(args.kind, args.name, override=args.owner)
    print(json.dumps(description(entry), indent=2) if args.json else describe(entry))
    return 0


def description(entry: Entry) -> dict[str, Any]:
    """The description of one registered component for programs."""
    component = _component(entry)
    return {
        "kind": entry.kind,
        "name": entry.name,
        "origin": str(entry.origin),
        "class": f"{component.__module__}.{component.__qualname__}",
        "documentation": inspect.cleandoc(component.__doc__ or entry.summary),
        "facts": _facts(component),
        "options": [dataclasses.asdict(option) for option in field_docs(component.Config)],
    }


def _component(entry: Entry) -> Any:
    component = entry.load()
    if not issubclass(component, Component):
        raise PluginError(f"{entry.kind} '{entry.name}' of {entry.origin} is no Component; see crystalfw.core.interfaces")
    return component


def describe(entry: Entry) -> str:
    """The description of one registered component as plain text."""
    component = _component(entry)
    parts = [f"{entry.kind} {entry.name}  ({entry.origin}, {component.__module__}.{component.__qualname__})"]
    parts.append(inspect.cleandoc(component.__doc__ or entry.summary or "No documentation."))
    facts = [
        f"{_LABELS[name]}: {', '.join(value) if isinstance(value, list) else value}"
        for name, value in _facts(component).items()
    ]
    if facts:
        parts.append("\n".join(facts))
    options = field_docs(component.Config)
    parts.append("options:\n" + "\n".join(map(_option, options)) if options else "options: none")
    return "\n\n".join(parts)


def _facts(component: type) -> dict[str, Any]:
    """The class attributes by which parts are fitted together; sets as sorted lists."""
    found: dict[str, Any] = {}
    for name in _LABELS:
        value: Any = getattr(component, name, None)
        if isinstance(value, (set, frozenset)):
            value = sorted(value)
        if isinstance(value, (str, list)) and value:
            found[name] = value
    return found


def _option(option: FieldDoc) -> str:
    default = "required" if option.required else f"default {_yaml(option.default)}"
    sentence = textwrap.fill(option.sentence, 100, initial_indent="      ", subsequent_indent="      ")
    return f"  {option.name}: {option.type}; {default}" + (f"\n{sentence}" if option.sentence else "")


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...")
