"""The run folders below one place: what is there, their curves as they grow, and what tells two recipes apart."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from crystalfw.core.model.logbook import logged_rows
from crystalfw.core.run.listing import MARKS, listed_run, run_folders
from crystalfw.core.serve.jobs import NotFound, inside
from crystalfw.core.serve.workers import sendable

_MOST = 500
_POINTS = 600
_LARGEST = 4 * 2**20


def listed(root: Path) -> list[dict[str, Any]]:
    """One line for each run and ablation, the newest first; the page's own work is in its own list, unless it trained."""
    found = []
    for folder in islice(run_folders(root), _MOST):
        if sendable(str(folder)) != str(folder):  # a name that is no UTF-8 cannot be asked for
            continue
        there = [mark for mark in MARKS if (folder / mark).is_file()]
        own = folder.is_relative_to(root / "page")
        if "recipe.yaml" not in there and (own or there == ["samples.csv"]):
            continue
        line = asdict(listed_run(folder, root)) if "recipe.yaml" in there else {"state": "done"}
        found.append({
            **line, "name": folder.relative_to(root).as_posix(), "files": there, "report": "report.html" in there,
            "trained": any((folder / "checkpoints").glob("*.pt")),
            "changed": max((folder / mark).stat().st_mtime for mark in there),
        })  # fmt: skip
    return sorted(found, key=lambda entry: -float(entry["changed"]))


def folder_of(root: Path, name: str) -> Path:
    """The folder of a run; raises NotFound for a name that leads out of the root or to no run."""
    path = inside(root, name)
    if path is None or not path.is_dir() or not any((path / mark).is_file() for mark in MARKS):
        raise NotFound(f"there is no run '{name[:120]}' in {root}")
    return path


def described(root: Path, name: str) -> dict[str, Any]:
    """Recipe, curves and figures of a run."""
    folder = folder_of(root, name)
    return {
        "name": name, "recipe": _small_text(folder / "recipe.yaml"), "curves": curves(folder),
        "report": (folder / "report.html").is_file(), "trained": any((folder / "checkpoints").glob("*.pt")),
        "summary": _summary(folder), "samples": (folder / "samples.csv").is_file(),
    }  # fmt: skip


def curves(folder: Path) -> dict[str, list[list[float]]]:
    """Column of metrics.csv -> [step, value] pairs, at most 600 of each; empty where nothing was logged yet."""
    found: dict[str, list[list[float]]] = {}
    for row in logged_rows(folder / "metrics.csv"):
        for column, content in row.items():
            value = _number(content)
            if column != "step" and value is not None:
                found.setdefault(column, []).append([float(row["step"]), value])
    return {column: _thinned(points) for column, points in found.items()}


def _thinned(points: list[list[float]]) -> list[list[float]]:
    """At most _POINTS of them, the last always."""
    step = max(1, -(-len(points) // _POINTS))
    return points[(len(points) - 1) % step :: step]


def compared(root: Path, names: Sequence[str]) -> dict[str, Any]:
    """The runs side by side: curves, figures, and the keys in which their recipes differ with the value of each run."""
    runs = [described(root, name) for name in names]
    recipes = [dict(_flat(_loaded(run["recipe"]))) for run in runs]
    keys = list(dict.fromkeys(key for recipe in recipes for key in recipe if key not in ("name", "run_dir")))
    rows = [[key, *(recipe.get(key, "–") for recipe in recipes)] for key in keys]
    return {"runs": runs, "differences": [row for row in rows if len(set(row[1:])) > 1][:400]}


def _loaded(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return {}


def _flat(section: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """`fit.lr` -> "0.01" for every leaf of a recipe."""
    if isinstance(section, dict) and section:
        for key, value in section.items():
            yield from _flat(value, f"{place}.{key}" if place else str(key))
    elif place:
        yield place, "" if section is None else str(section).lower() if isinstance(section, bool) else str(section)


def stamp(folder: Path) -> str:
    """Changes whenever the log of a run grows."""
    path = folder / "metrics.csv"
    return f"{path.stat().st_size}-{path.stat().st_mtime_ns}" if path.is_file() else ""


def report_of(root: Path, name: str) -> Path:
    """The report of a run; raises NotFound."""
    path = folder_of(root, name) / "report.html"
    if not path.is_file():
        raise NotFound(f"the run '{name[:120]}' has no report yet")
    return path


def _summary(folder: Path) -> list[str]:
    """The lines that the metrics put on the screen."""
    try:
        content = json.loads(_small_text(folder / "metrics.json") or "{}")
    except ValueError:
        return []
    lines = content.get("summary", []) if isinstance(content, dict) else []
    return [str(line) for line in lines][:50]


def _small_text(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > _LARGEST:
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def _number(content: str | None) -> float | None:
    try:
        value = float(content or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
