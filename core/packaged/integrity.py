"""The files of a delivered model against the checksums of its card."""

from __future__ import annotations

from functools import cache
from pathlib import Path, PurePosixPath

from crystalfw.core.errors import CheckpointError
from crystalfw.core.packaged.card import CARD, MODEL, Card, read_card
from crystalfw.core.system.files import file_digest


def digests(folder: Path) -> dict[str, str]:
    """Every file below the folder but the card -> its SHA-256, in the order of names."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files if path != folder / CARD}


@cache
def verify(folder: Path) -> Card:
    """The card, when all its files are there and unchanged. Raises CheckpointError naming the first that is not.

    Checked once in a process.
    """
    card = read_card(folder)
    for name, stated in card.files.items():
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts:
            raise CheckpointError(f"{folder / CARD}: names a file outside of its folder ({name}); refused")
        path = folder / place
        if not path.is_file():
            raise CheckpointError(f"{path}: missing; the card of '{card.name}' names it. Install the model again")
        if file_digest(path) != stated:
            raise CheckpointError(f"{path}: damaged or exchanged (its checksum is not the card's). Install the model again")
    if card.kind != "retriever" and MODEL not in card.files:
        raise CheckpointError(f"{folder / CARD}: names no {MODEL}; this is not a model that `crystalfw export` wrote")
    return card
