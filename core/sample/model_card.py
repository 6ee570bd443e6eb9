"""What a checkpoint says of its model: parts, size, training data, how well it was fitted, and what it can be asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystalfw.core.model import checkpoint
from crystalfw.core.sample.conditions import typed_name
from crystalfw.core.sample.trained import Trained
from crystalfw.core.system.wording import counted


def model_card(run: str | Path, which: str = "best") -> dict[str, Any]:
    """The facts of a run folder's checkpoint, or of a checkpoint file, for programs. Raises CheckpointError."""
    path = checkpoint.find(Path(run), which)
    payload = checkpoint.load(path)
    trained = Trained.load(path)
    recipe, generator = trained.recipe, trained.generator
    provenance = _mapping(payload.get("provenance"))
    state = payload.get("state") or {}
    return {
        "checkpoint": str(path),
        "name": recipe.name,
        "model": {part: getattr(recipe.model, part).name for part in ("encoder", "conditioning", "decoder")},
        "parameters": sum(parameter.numel() for parameter in generator.parameters()),
        "data": recipe.data.path or f"source {recipe.data.source.name}",
        "crystals": provenance.get("crystals", {}),
        "atoms": (trained.ranges or {}).get("atoms"),
        "properties": (trained.ranges or {}).get("properties", {}),
        "strings": {"representation": recipe.representation.name, **dict(recipe.representation.options)},
        "steps": state.get("step"),
        "best_validation_loss": state.get("best_loss"),
        "versions": provenance.get("versions", {}),
        "conditions": sorted(trained.requires),
        "predicts": list(trained.targets),
    }


def card_lines(card: Mapping[str, Any], run: str) -> list[str]:
    """The card as text."""
    model = card["model"]
    parts = " > ".join(name for name in model.values() if name != "none")
    lines = [f"{run}: {parts}, {counted(card['parameters'], 'parameter')}", f"  checkpoint   {card['checkpoint']}"]
    sizes = ", ".join(f"{part} {count:,}" for part, count in card["crystals"].items())
    atoms = f"; {card['atoms'][0]} to {card['atoms'][1]} atoms per cell" if card["atoms"] else ""
    lines.append(f"  trained on   {card['data']}" + (f" ({sizes}){atoms}" if sizes else atoms))
    if card["steps"] is not None:
        lines.append(f"  steps        {card['steps']:,}, best validation loss {card['best_validation_loss']:.4f}")
    version = card["versions"].get("crystalfw")
    lines += [f"  made with    crystalfw {version}"] if version else []
    return [*lines, *_asked(card, run)]


def _asked(card: Mapping[str, Any], run: str) -> list[str]:
    """What can be asked for, with the ranges of the training data, as options of `crystalfw sample`."""
    if card["predicts"]:
        return [f"  predicts     {', '.join(card['predicts'])} of crystals: crystalfw.load({run!r}).predict(crystals)"]
    conditions = card["conditions"]
    if not conditions:
        return ["  ask          nothing: it is unconditional", f"               crystalfw sample {run} --n 20"]
    lines = []
    if "composition" in conditions:
        most = f"cells of up to {card['atoms'][1]} atoms" if card["atoms"] else "a formula"
        lines.append(f"--condition composition=SrTiO3    {most}")
    for name in conditions:
        kind, _, column = name.partition(".")
        if kind == "properties":
            low, high = card["properties"].get(column, (None, None))
            seen = "range not recorded" if low is None else f"{low:.4g} to {high:.4g} in training"
            lines.append(f"--condition {typed_name(column)}=VALUE    {seen}")
    lines.append("--like FILE    crystals of a CIF file, a table or a folder")
    return [f"  ask it for   {lines[0]}", *(f"               {line}" for line in lines[1:])]


def _mapping(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(str(text))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
