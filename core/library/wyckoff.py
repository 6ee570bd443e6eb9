"""Wyckoff letters up to the choice of origin and axes: one structure type, one spelling.

Space groups leave the origin (and sometimes the axes) open: the same arrangement can be written with the letters a and b
exchanged, for example. pymatgen ships the relabelings that each space group allows (from its normalizer). Importing them
takes seconds, so a library keeps the ones that it was built with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

Ways = Mapping[int, list[dict[int, str]]]
"""Space group -> tables for str.translate."""


@lru_cache(maxsize=1)
def installed_relabelings() -> bytes:
    """pymatgen's relabelings as JSON: space group -> texts of pairs, `abba` for a to b and b to a."""
    from pymatgen.analysis import prototypes

    table = getattr(prototypes, "WYCKOFF_POSITION_RELAB_DICT", {})  # absent in old releases: letters then stay as they are
    found = {int(group): sorted({_pairs(way) for way in ways} - {""}) for group, ways in table.items()}
    return json.dumps({group: ways for group, ways in found.items() if ways}, separators=(",", ":")).encode()


def _pairs(way: Mapping[int, str]) -> str:
    return "".join(chr(int(old)) + str(new) for old, new in sorted(way.items()) if chr(int(old)) != str(new))


@lru_cache(maxsize=4)
def relabelings(text: bytes) -> Ways:
    """The tables that `installed_relabelings` wrote."""
    return {int(group): [_table(way) for way in ways] for group, ways in json.loads(text or b"{}").items()}


def _table(pairs: str) -> dict[int, str]:
    return {ord(old): new for old, new in zip(pairs[::2], pairs[1::2], strict=True)}


@lru_cache(maxsize=200_000)
def canonical_letters(group: int, letters: tuple[str, ...], known: bytes | None = None) -> tuple[str, ...]:
    """The first, in the order of the alphabet, of all equivalent spellings of a type's letters, slot by slot.

    `known`: relabelings that a library keeps; those of the installed pymatgen where None.
    """
    ways = relabelings(installed_relabelings() if known is None else known).get(group, [])
    spelled = [tuple("".join(sorted(text.translate(way))) for text in letters) for way in ways]
    return min([letters, *spelled])
