"""The runs in a folder, from their own files; reads no checkpoint and imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from crystalfw.core.model.logbook import logged_rows
from crystalfw.core.run.folder import is_held

MARKS = ("recipe.yaml", "samples.csv", "metrics.json", "ablation.json", "report.html")
"""A folder that holds one of these files has something to show."""
_INSIDE = frozenset({"checkpoints", "cifs", "fits", "uploads"})
"""Folders inside of runs that hold no runs."""


@dataclass(frozen=True)
class ListedRun:
    """One run: its folder, what is trained on what, how far, how well."""

    folder: str
    model: str
    data: str
    steps: int
    """Steps logged so far."""
    of_steps: int
    best_validation: float | None
    state: str
    """running, done, stopped (with a checkpoint) or failed (without)."""


def list_runs(base: Path) -> list[ListedRun]:
    """Every run folder in `base`, and in the ablations there, by name; links are left out."""
    folders = sorted(path.parent for pattern in ("*/recipe.yaml", "*/runs/*/run/recipe.yaml") for path in base.glob(pattern))
    return [listed_run(folder, base) for folder in folders if not folder.is_symlink() or folder.name == "run"]


def run_folders(root: Path, deepest: int = 5) -> Iterator[Path]:
    """Folders at most `deepest` levels below `root` that hold a run, an ablation or samples (one of MARKS); links are not
    followed."""
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            entries = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())
        except OSError:
            continue
        if folder != root and any((folder / mark).is_file() for mark in MARKS):
            yield folder
        if depth < deepest:
            waiting += [(entry, depth + 1) for entry in entries if entry.name not in _INSIDE and not entry.name.startswith(".")]


def listed_run(folder: Path, base: Path) -> ListedRun:
    """The line of one run folder below `base`."""
    recipe = _recipe(folder / "recipe.yaml")
    model = recipe.get("model", {})
    parts = [_name(model.get(key)) for key in ("encoder", "conditioning", "decoder")]
    steps, best = 0, None
    for row in logged_rows(folder / "metrics.csv"):
        steps = max(steps, int(row["step"]))
        if row.get("val_loss"):
            best = min(float(row["val_loss"]), best if best is not None else float("inf"))
    return ListedRun(
        str(folder.relative_to(base)), " > ".join(part for part in parts if part not in ("", "none")) or "-",
        _data(recipe.get("data", {})), steps, int(recipe.get("fit", {}).get("steps", 0)), best, _state(folder),
    )  # fmt: skip


def _state(folder: Path) -> str:
    if is_held(folder):
        return "running"
    if (folder / "report.html").exists():
        return "done"
    return "stopped" if any((folder / "checkpoints").glob("*.pt")) else "failed"


def _data(section: dict[str, Any]) -> str:
    return str(section.get("path") or _name(section.get("source")).replace("auto", "prototypes"))


def _name(spec: Any) -> str:
    return str(spec.get("name", "") if isinstance(spec, dict) else spec or "")


def _recipe(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
