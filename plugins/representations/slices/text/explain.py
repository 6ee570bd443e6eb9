"""What each piece of a string says, in words: the prefix, each atom, each bond or contact with its length."""

from __future__ import annotations

import re

from crystalfw.core.errors import DecodeError
from crystalfw.core.records import TokenMeaning
from crystalfw.plugins.representations.slices.text import dialects as d
from crystalfw.plugins.representations.slices.text.space_groups import PREFIX_TOKENS, number_of
from crystalfw.plugins.representations.slices.text.spellings import modern_tokens
from crystalfw.plugins.representations.slices.text.strings import parse

_EDGE = re.compile(r"(\d+) (\d+) ([-o+]{3})(?: ([=~])(\d+))?")
_PREFIX = frozenset(PREFIX_TOKENS)


def explain(string: str) -> list[TokenMeaning]:
    """One meaning for the prefix, for each atom and for each edge. Raises DecodeError as `parse` does."""
    parse(string)
    tokens = modern_tokens(string)
    stop = next(place for place, token in enumerate(tokens) if token not in _PREFIX)
    found = [_space_group(tokens[:stop])] if stop else []
    symbols: list[str] = []
    for token in tokens[stop:]:
        if not token[0].isalpha():
            break
        found.append(TokenMeaning(token, f"atom {len(symbols)} of the cell is {token}", (len(symbols),)))
        symbols.append(token)
    edges = " ".join(tokens[stop + len(symbols) :])
    return found + [_edge(match, symbols) for match in _EDGE.finditer(edges)]


def _space_group(tokens: list[str]) -> TokenMeaning:
    from pymatgen.symmetry.groups import sg_symbol_from_int_number

    number = number_of(tuple(tokens))
    if number is None:  # parse has read it
        raise DecodeError("parse", "the prefix spells no space group")
    return TokenMeaning(" ".join(tokens), f"space group {sg_symbol_from_int_number(number)} ({number}), by its generators")


def _edge(match: re.Match[str], symbols: list[str]) -> TokenMeaning:
    first, second, label, mark, step = match.groups()
    i, j, shift = int(first), int(second), d.LABEL_SHIFTS[d.LABELS.index(label)].tolist()
    says = f"{'contact' if mark == '~' else 'bond'} from atom {i} ({symbols[i]}) to atom {j} ({symbols[j]}), {_cell(shift)}"
    if step is not None:
        says += f", {float(d.angstrom(int(step))):.2f} Å long"
    return TokenMeaning(match.group(), says, (i, j), (shift[0], shift[1], shift[2]))


def _cell(shift: list[int]) -> str:
    steps = [f"{'+' if value > 0 else '−'}{axis}" for value, axis in zip(shift, "abc", strict=True) if value]
    return f"one cell along {', '.join(steps)}" if steps else "in the same cell"
