"""The one folder for what can be made again: prepared data, embedded crystals, libraries, fitted retrievers."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """$XDG_CACHE_HOME/crystalfw or ~/.cache/crystalfw. Nothing in it is needed: delete the folder to clear it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "crystalfw"


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
