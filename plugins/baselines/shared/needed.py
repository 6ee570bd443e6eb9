"""The sentence for a baseline without training crystals."""

from __future__ import annotations

from collections.abc import Sequence

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError


def require(train: Sequence[Crystal], name: str) -> None:
    """Raises DataError without training crystals."""
    if not len(train):
        raise DataError(
            f"baseline '{name}' works with training crystals and there are none: give them with --train PATH, or name a "
            "reference folder that has a train part"
        )
