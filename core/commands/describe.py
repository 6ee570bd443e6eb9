"""What a trained model can be asked for, or what a component does.

crystalfw describe runs/composition                 conditions with their ranges, data, size, validation loss
crystalfw describe conditioning additive            documentation, options with types and defaults, how it fits
crystalfw describe encoder                          the encoders that are installed
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import textwrap
from pathlib import Path
from typing import Any

from crystalfw.core.commands.parser import add_json, check_checkpoint
from crystalfw.core.discovery import registry
from crystalfw.core.errors import CrystalfwError, PluginError, did_you_mean
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
    kinds = ", ".join(KINDS)
    what = f"run folder, checkpoint or delivered model; or a kind of component: {kinds}"
    parser.add_argument("what", metavar="RUN|KIND", help=what)
    parser.add_argument("name", nargs="?", help="component, as `crystalfw plugins KIND` lists it")
    parser.add_argument(
        "--from", dest="owner", metavar="DISTRIBUTION", help="which distribution to take, if two offer the name"
    )
    add_json(parser, "kind, name, origin, class, documentation, facts, options [{name, type, default, required, sentence}]")


def run(args: argparse.Namespace) -> int:
    """Print the description; raises PluginError for an unknown name or one that cannot be loaded."""
    if args.what == "model" and args.name:  # `describe model NAME` as well as `describe NAME`
        args.what, args.name = args.name, None
    if args.name is None and args.what not in KINDS:
        return _model(args)
    if args.what not in KINDS:
        raise CrystalfwError(f"describe: no kind of component called '{args.what}'. {did_you_mean(args.what, KINDS, 'Kinds')}")
    if args.name is None:
        names = ", ".join(entry.name for entry in registry().entries(args.what))
        raise CrystalfwError(f"describe {args.what}: which one? Installed are {names}")
    entry = registry().get(args.what, args.name, override=args.owner)
    print(json.dumps(description(entry), indent=2) if args.json else describe(entry))
    return 0


def _model(args: argparse.Namespace) -> int:
    path = Path(args.what)
    if not path.exists() and args.what in {entry.name for entry in registry().models()}:
        from crystalfw.core.commands.models import described, known_model
        from crystalfw.core.packaged import read_card

        delivered = read_card(known_model(args.what).folder())
        print(json.dumps(dataclasses.asdict(delivered), indent=2) if args.json else described(delivered))
        return 0
    if not path.exists():
        hint = did_you_mean(args.what, KINDS, "Kinds")
        raise CrystalfwError(f"describe: '{args.what}' is neither a run folder, nor a checkpoint, nor a kind. {hint}")
    check_checkpoint(path)
    from crystalfw.core.sample.model_card import card_lines, model_card

    card = model_card(path)
    print(json.dumps(card, indent=2) if args.json else "\n".join(card_lines(card, str(path))))
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
    from crystalfw.core.interfaces import Component

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
