"""Runs inside the folder of a grid: FOLDER/runs/NAME/run, each with its title beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path

TITLE = "variant.json"
"""Beside the link `run`: what the variant is called in its grid."""


def slug(text: str) -> str:
    """A name for a folder: `cross-attention` from `cross attention`."""
    return re.sub(r"[^a-z0-9.=+]+", "-", text.lower()).strip("-.")[:60] or "base"


def runs_inside(folder: Path) -> dict[str, Path]:
    """Name -> run folder of every run of a grid that has begun; empty for any other folder."""
    return {path.parent.name: path for path in sorted(folder.glob("runs/*/run")) if (path / "recipe.yaml").is_file()}


def variant_title(folder: Path) -> str:
    """`cross attention, seed 0 (demo)` for a run's folder in a grid; empty elsewhere."""
    try:
        found = json.loads((folder / TITLE).read_text(encoding="utf-8"))
        return f"{found['variant']}, seed {found['seed']} ({found['grid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
