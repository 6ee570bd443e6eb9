"""Numbers with their nouns, for sentences on the screen."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 crystal`, `2,000 crystals`; `plural` where it is not formed with an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
