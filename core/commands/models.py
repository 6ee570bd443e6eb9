"""Delivered models: trained models that installed packages hold, ready without training and without a network.

  crystalfw models                       what is there: what it answers, trained on what, how good, size, licence, package
  crystalfw models mp-energies           the whole card of one
  crystalfw models check my-models       every model of a package or folder: files, checksums, and that it loads

A model's name stands wherever a run folder does: crystalfw sample mp-property --n 10
"""

from __future__ import annotations

import argparse
import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from crystalfw.core.commands.parser import add_json
from crystalfw.core.discovery import registry
from crystalfw.core.errors import CheckpointError, CrystalfwError, PluginError, did_you_mean
from crystalfw.core.packaged import Card, read_card, verify

if TYPE_CHECKING:
    from crystalfw.core.registry import ModelEntry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw models`."""
    parser.add_argument("name", nargs="?", metavar="MODEL|check", help="a delivered model; `check` with a folder")
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="package or folder of models to check")
    add_json(parser, "models [{name, distribution, bytes, card}], or the card of one model")


def run(args: argparse.Namespace) -> int:
    """List, show or check; 1 where a model is damaged."""
    if args.name == "check":
        if args.folder is None:
            raise CrystalfwError("models check: give the folder of a model, or of a package of models")
        return _check(Path(args.folder))
    if args.folder is not None:
        raise CrystalfwError(f"models {args.name}: takes no folder; to check one: crystalfw models check {args.folder}")
    if args.name is None:
        return _list(args.json)
    entry = known_model(args.name)
    card = read_card(entry.folder())
    print(json.dumps(asdict(card), indent=2) if args.json else f"{described(card)}\n\ndelivered by {entry.origin}")
    return 0


def known_model(name: str) -> ModelEntry:
    """The delivered model of that name. Raises PluginError listing what there is."""
    entry = registry().model(name)
    if entry is None:
        names = [other.name for other in registry().models()]
        raise PluginError(f"no delivered model called '{name}'. {did_you_mean(name, names, 'There are')}")
    return entry


def size(folder: Path) -> int:
    """Bytes of a model's files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _list(as_json: bool) -> int:
    found, broken = [], []
    for entry in registry().models():
        try:
            folder = entry.folder()
            found.append((entry, read_card(folder), size(folder)))
        except (CheckpointError, PluginError) as error:
            broken.append(f"{entry.name} ({entry.origin}): {error}")
    if as_json:
        rows = [{"name": e.name, "distribution": str(e.origin), "bytes": n, "card": asdict(card)} for e, card, n in found]
        print(json.dumps({"models": rows, "broken": broken}, indent=2))
    else:
        print("\n".join(_row(entry, card, count) for entry, card, count in found))
        print("\n".join(broken), end="\n" if broken else "")
        if not found and not broken:
            print("no delivered model is installed; crystalfw-models holds those of this project: pip install crystalfw-models")
    return 1 if broken else 0


def _row(entry: ModelEntry, card: Card, count: int) -> str:
    facts = {"answers": card.answers, "trained on": card.trained_on, "how good": card.headline, "licence": card.licence}
    lines = [f"{entry.name}  ({card.kind}, {count / 1e6:.1f} MB, {entry.origin})"]
    return "\n".join([*lines, *(_filled(label, text) for label, text in facts.items())])


def _filled(label: str, text: str) -> str:
    return textwrap.fill(f"{label}: {text}", 110, initial_indent="  ", subsequent_indent="    ")


def described(card: Card) -> str:
    """The whole card as text."""
    facts = {
        "answers": card.answers, "trained on": card.trained_on, "how good": card.headline, "leakage": card.leakage,
        "licence": card.licence, "recipe": f"{card.recipe}, seed {card.seed}, {card.hours:g} hours",
        "parameters": f"{card.parameters:,}",
        "components": ", ".join(f"{name} ({origin})" for name, origin in card.components.items()),
    }  # fmt: skip
    parts = [f"{card.name}  ({card.kind})", *(_filled(label, text) for label, text in facts.items())]
    figures = [f"{what}: {value}" for what, value in card.figures.items()]
    for title, items in (("figures", figures), ("limits", card.limits), ("cite", card.citations)):
        parts += [f"  {title}:"] if items else []
        parts += [textwrap.fill(item, 110, initial_indent="    - ", subsequent_indent="      ") for item in items]
    return "\n".join(parts)


def _check(path: Path) -> int:
    from crystalfw.core.run.export import model_folders

    broken = 0
    for folder in model_folders(path):
        try:
            card = verify(folder.resolve())
            _loads(card, folder)
            print(f"{folder}: {card.name}, {card.kind}, {size(folder) / 1e6:.1f} MB: whole, loads")
        except CrystalfwError as error:
            broken += 1
            print(f"{folder}: {error}")
    return 1 if broken else 0


def _loads(card: Card, folder: Path) -> None:
    if card.kind == "retriever":
        from crystalfw.core.predict.saved import load

        load(folder)
        return
    from crystalfw.core.sample.trained import Trained

    Trained.load(folder)
