"""The older published spellings, converted to current tokens.

Strategy 3 writes labels as three tokens (`Na Cl 0 1 o o +`); strategy 1 names the elements in every bond and has no
atom list (`Na Cl 0 1 o o + ...`, seven tokens a bond); strategy 2 has no spaces: two characters for every element,
index and index, three for the label (`NaCl0001oo+`, one-letter symbols padded with `_`).
"""

from __future__ import annotations

import re

_SIGNS = frozenset("-o+")
_STRATEGY_2 = re.compile(r"((?:[A-Z][a-z_])+)((?:\d{4}[-o+]{3})+)")
_SYMBOL = re.compile(r"[A-Z][a-z]?")


def modern_tokens(string: str) -> list[str]:
    """The tokens of a string in the current spelling (strategy 4); unrecognised tokens are left for the reader."""
    tokens = string.split()
    if len(tokens) == 1 and (compact := _STRATEGY_2.fullmatch(tokens[0])):
        return _from_strategy_2(*compact.groups())
    if not any(token in _SIGNS for token in tokens):
        return tokens
    tokens = _join_labels(tokens)
    return _from_strategy_1(tokens) if _is_strategy_1(tokens) else tokens


def _join_labels(tokens: list[str]) -> list[str]:
    """`0 1 o o +` -> `0 1 oo+`; signs in a space-group prefix follow no index and stay."""
    joined: list[str] = []
    place = 0
    while place < len(tokens):
        signs = tokens[place : place + 3]
        if joined and joined[-1].isdecimal() and len(signs) == 3 and _SIGNS.issuperset(signs):
            joined.append("".join(signs))
            place += 3
        else:
            joined.append(tokens[place])
            place += 1
    return joined


def _is_strategy_1(tokens: list[str]) -> bool:
    """Two or more bonds of five tokens `A B i j label`; a single one means the same in strategies 1 and 3."""
    if len(tokens) % 5 or len(tokens) < 10:
        return False
    heads = tokens[0::5] + tokens[1::5]
    return all(_SYMBOL.fullmatch(token) for token in heads) and all(t.isdecimal() for t in tokens[2::5] + tokens[3::5])


def _from_strategy_1(tokens: list[str]) -> list[str]:
    """Atom list first; an atom that no bond names, or that bonds name differently, leaves the tokens as they are."""
    named: dict[int, str] = {}
    for place in range(0, len(tokens), 5):
        for symbol, index in zip(tokens[place : place + 2], tokens[place + 2 : place + 4], strict=True):
            if named.setdefault(int(index), symbol) != symbol:
                return tokens
    if sorted(named) != list(range(len(named))):
        return tokens
    modern = [named[index] for index in range(len(named))]
    for place in range(0, len(tokens), 5):
        modern += tokens[place + 2 : place + 5]
    return modern


def _from_strategy_2(symbols: str, bonds: str) -> list[str]:
    tokens = [symbols[k : k + 2].rstrip("_") for k in range(0, len(symbols), 2)]
    for k in range(0, len(bonds), 7):
        tokens += (str(int(bonds[k : k + 2])), str(int(bonds[k + 2 : k + 4])), bonds[k + 4 : k + 7])
    return tokens
