"""What an evaluation wrote to its folder, read again: metrics.json, the figures that metrics show first, outcomes.csv."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from crystalfw.core.evaluate.presented import presented
from crystalfw.core.presentation import Figure


def read_json(path: Path) -> dict[str, Any]:
    """A mapping from a JSON file; empty where there is no such file, or another value in it."""
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def figures_of_metrics(folder: Path) -> dict[str, float]:
    """`NAME.KEY` -> value for the measures of every metric in the folder's metrics.json."""
    results = presented(read_json(folder / "metrics.json"))
    return {f"{item.name}.{key}": value for item in results for key, value in item.measures().items()}


def headline_of(folder: Path) -> dict[str, Figure]:
    """What the folder's metrics show first, by measure `NAME.KEY`."""
    results = presented(read_json(folder / "metrics.json"))
    return {f"{item.name}.{figure.key}": figure for item in results for figure in item.headline()}


def errors_of(folder: Path) -> dict[str, str]:
    """Metrics that gave nothing, with the reason."""
    metrics = read_json(folder / "metrics.json").get("metrics", {})
    return {name: str(item["error"]) for name, item in metrics.items() if item.get("error")}


def outcomes_of(folder: Path) -> dict[str, dict[str, float]]:
    """Measure `NAME.MEASURE` -> sample or reference id -> value, from outcomes.csv."""
    path = folder / "outcomes.csv"
    found: dict[str, dict[str, float]] = {}
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found.setdefault(f"{row['metric']}.{row['measure']}", {})[row["id"]] = float(row["value"])
    return found
