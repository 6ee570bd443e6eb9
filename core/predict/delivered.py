"""Which library a prediction without one looks in: a delivered one where such a model is installed, else the prototypes."""

from __future__ import annotations

from pathlib import Path

from crystalfw.core.discovery import registry
from crystalfw.core.errors import CheckpointError, PluginError
from crystalfw.core.packaged import located, read_card

PROTOTYPES = "prototypes"
"""What asks for the embedded prototypes whatever is installed."""


def library_place(path: str | Path | None) -> Path | None:
    """The folder or file that is meant: a path as it is, a delivered model's folder for its name, the first delivered
    retriever for None; None stands for the embedded prototypes. Raises CheckpointError where a delivered model is damaged."""
    if path is None:
        found = next((entry.folder() for entry in registry().models() if _retrieves(entry.name)), None)
        return None if found is None else located(found)
    if Path(path).exists():
        return Path(path)
    if str(path) == PROTOTYPES:
        return None
    return located(path) if registry().model(str(path)) is not None else Path(path)


def _retrieves(name: str) -> bool:
    try:
        entry = registry().model(name)
        return entry is not None and read_card(entry.folder()).kind == "retriever"
    except (CheckpointError, PluginError):
        return False
