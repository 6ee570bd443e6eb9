"""Wyckoff letters up to the choice of origin and axes: one structure type, one spelling.

Space groups leave the origin (and sometimes the axes) open: the same arrangement can be written with the letters a and b
exchanged, for example. pymatgen ships the relabelings that each space group allows (from its normalizer).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def _relabelings() -> dict[int, list[dict[int, str]]]:
    from pymatgen.analysis import prototypes

    table: Any = getattr(prototypes, "WYCKOFF_POSITION_RELAB_DICT", {})  # absent in old releases: letters then stay as they are
    return {int(group): [{int(k): str(v) for k, v in way.items()} for way in ways] for group, ways in table.items()}


@lru_cache(maxsize=200_000)
def canonical_letters(group: int, letters: tuple[str, ...]) -> tuple[str, ...]:
    """The first, in the order of the alphabet, of all equivalent spellings of a type's letters, slot by slot."""
    spelled = [tuple("".join(sorted(text.translate(way))) for text in letters) for way in _relabelings().get(group, [])]
    return min([letters, *spelled])
