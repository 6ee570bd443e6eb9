"""The space-group prefix of published strings: the ITA generators of the group, spelt in tokens.

The published tool takes the generator string of De Graef and McHenry (Structure of Materials, Cambridge 2007; pymatgen
carries the table), e.g. `12bDODcODO0` for Pnma, and writes it as `+ x b DOD c ODO o`: the leading digit 0/1 becomes
o/+, the count of generators a letter from the end of the alphabet (z = 0, y = 1, ...), a closing 0 becomes o, a 1 in
front of the origin shift becomes +, and three capitals are one token.
"""

from __future__ import annotations

import re
from functools import cache

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TRIPLES = (
    "BBB BBO BFF DDB DDD DDF DDO DOB DOD DOF DOO ECC FBB FBF FFF OBB OBZ ODB ODD ODO "
    "OOB OOC OOD OOE OOF OOO OYZ XXX YBO YBY YYO YYY ZZZ"
)
PREFIX_TOKENS: tuple[str, ...] = ("+", *_LETTERS, *_TRIPLES.split())
"""Every token that a prefix can hold; a closed list, so that token ids never change."""


@cache
def prefixes() -> dict[int, tuple[str, ...]]:
    """Space-group number -> prefix tokens, for all 230."""
    from pymatgen.symmetry.groups import SYMM_DATA

    found: dict[int, tuple[str, ...]] = {}
    for entry in SYMM_DATA["space_group_encoding"].values():
        found.setdefault(entry["int_number"], _spell(entry["enc"]))
    return dict(sorted(found.items()))


@cache
def _numbers() -> dict[tuple[str, ...], int]:
    return {tokens: number for number, tokens in prefixes().items()}


def number_of(tokens: tuple[str, ...]) -> int | None:
    """The space group of this prefix; None if it spells none."""
    return _numbers().get(tokens)


def _spell(generators: str) -> tuple[str, ...]:
    characters = list(generators)
    characters[0] = "o+"[int(characters[0])]
    characters[1] = chr(ord("z") - int(characters[1]))
    if characters[-1] == "0":
        characters[-1] = "o"
    elif characters[-4] == "1":
        characters[-4] = "+"
    return tuple(re.findall(r"[A-Z]{3}|.", "".join(characters)))
