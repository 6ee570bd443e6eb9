"""The run folders below one place: what is there, their curves as they grow, and what tells two recipes apart."""

from __future__ import annotations

import csv
import difflib
import json
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from crystalfw.core.serve.jobs import NotFound, inside

DEEPEST = 5
_MOST = 500
_MARKS = ("recipe.yaml", "samples.csv", "metrics.json", "ablation.json", "report.html")
_POINTS = 600
_LARGEST = 4 * 2**20


def run_folders(root: Path) -> Iterator[Path]:
    """Folders below `root` that hold a run, an ablation or samples; links and the page's own records are not followed."""
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            entries = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())
        except OSError:
            continue
        if folder != root and any((folder / mark).is_file() for mark in _MARKS):
            yield folder
        if depth < DEEPEST:
            hidden = {"checkpoints", "cifs", "uploads", ".cache"}
            waiting += [(entry, depth + 1) for entry in entries if entry.name not in hidden and not entry.name.startswith(".")]


def listed(root: Path) -> list[dict[str, Any]]:
    """One line for each run, the newest first."""
    found = []
    for folder in islice(run_folders(root), _MOST):
        there = [mark for mark in _MARKS if (folder / mark).is_file()]
        checkpoints = any((folder / "checkpoints").glob("*.pt"))
        found.append({
            "name": folder.relative_to(root).as_posix(), "files": there, "trained": checkpoints,
            "changed": max((folder / mark).stat().st_mtime for mark in there),
            "report": "report.html" in there, "steps": _last_step(folder),
        })  # fmt: skip
    return sorted(found, key=lambda entry: -float(entry["changed"]))


def folder_of(root: Path, name: str) -> Path:
    """The folder of a run; raises NotFound for a name that leads out of the root or to no run."""
    path = inside(root, name)
    if path is None or not path.is_dir() or not any((path / mark).is_file() for mark in _MARKS):
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
    path = folder / "metrics.csv"
    if not path.is_file():
        return {}
    found: dict[str, list[list[float]]] = {}
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            step = _number(row.get("step"))
            for column, content in row.items():
                value = _number(content)
                if isinstance(column, str) and column != "step" and step is not None and value is not None:
                    found.setdefault(column, []).append([step, value])
    return {column: points[:: max(1, -(-len(points) // _POINTS))] for column, points in found.items()}


def compared(root: Path, names: Sequence[str]) -> dict[str, Any]:
    """The runs side by side: their curves and figures, and the lines in which each recipe differs from the first."""
    runs = [described(root, name) for name in names]
    first = (runs[0]["recipe"] or "").splitlines()
    for run in runs:
        other = (run["recipe"] or "").splitlines()
        lines = difflib.unified_diff(first, other, names[0], run["name"], lineterm="", n=1)
        run["differences"] = list(islice(lines, 400))
    return {"runs": runs}


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


def _last_step(folder: Path) -> int | None:
    path = folder / "metrics.csv"
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2000))
        last = file.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    value = _number(last[0].split(",")[0]) if last else None
    return None if value is None else int(value)


def _number(content: str | None) -> float | None:
    try:
        value = float(content or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
