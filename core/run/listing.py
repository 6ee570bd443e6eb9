"""The runs in a folder, from their own files; reads no checkpoint and imports no torch."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from crystalfw.core.run.folder import is_held
from crystalfw.core.system.bounded_text import bounded_lines


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
    return [_listed(folder, base) for folder in folders if not folder.is_symlink() or folder.name == "run"]


def _listed(folder: Path, base: Path) -> ListedRun:
    recipe = _recipe(folder / "recipe.yaml")
    model = recipe.get("model", {})
    parts = [_name(model.get(key)) for key in ("encoder", "conditioning", "decoder")]
    steps, best = 0, None
    for row in _rows(folder / "metrics.csv"):
        steps = max(steps, int(float(row.get("step") or 0)))
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


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(bounded_lines(file, path))
