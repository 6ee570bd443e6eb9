"""From what a user gives, a path or a model's name, to the place where the model lies."""

from __future__ import annotations

import difflib
from pathlib import Path

from crystalfw.core.discovery import registry
from crystalfw.core.errors import CheckpointError
from crystalfw.core.packaged.card import CARD
from crystalfw.core.packaged.integrity import verify


def located(run: str | Path) -> Path:
    """A path that exists, as it is; otherwise the folder of the delivered model of that name.

    A delivered model is compared with its card first. Raises CheckpointError where it is damaged, or where there is neither.
    """
    path = Path(run)
    if not path.exists():
        entry = registry().model(str(run))
        if entry is None:
            raise CheckpointError(no_such(run))
        path = entry.folder()
    if (path / CARD).is_file():
        verify(path.resolve())
    return path


def no_such(run: str | Path) -> str:
    """The sentence for a name that is neither a path nor a delivered model, with the nearest of both."""
    path, offered = Path(run), [entry.name for entry in registry().models()]
    there = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, [*there, *offered], n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    models = f" Delivered models: {', '.join(offered)}." if offered and not near else ""
    failed = "".join(f" Not loaded: {origin} ({cause})." for origin, cause in registry().failures.items())
    return f"{run}: there is no such run folder or checkpoint, and no delivered model of that name.{hint}{models}{failed}"
