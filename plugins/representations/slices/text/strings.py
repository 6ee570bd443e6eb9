"""Strings to quotient graphs and back: the reader takes every published spelling, the printer writes ours.

The reader runs the grammar's state machine (`dialects.grammar`), so it accepts exactly what the decoding mask may write,
after `spellings` has converted older strategies.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from crystalfw.core.errors import DecodeError
from crystalfw.plugins.representations.slices.graph.graph import NO_LENGTH, QuotientGraph
from crystalfw.plugins.representations.slices.text import dialects as d
from crystalfw.plugins.representations.slices.text.space_groups import PREFIX_TOKENS, number_of, prefixes
from crystalfw.plugins.representations.slices.text.spellings import modern_tokens

MAX_STRING = 200_000
"""Characters beyond which a string is refused unread."""
MAX_ATOMS = 256
"""Atoms beyond which a string is refused."""

_PREFIX = frozenset(PREFIX_TOKENS)
_EXPECTED = {
    d.START: "an element symbol",
    d.ATOMS: "an element symbol or an atom index",
    d.SECOND: "an atom index",
    d.NEEDS_LABEL: "a label such as oo+",
    d.LABELLED: "an atom index or a length token",
    d.EDGE: "an atom index",
}


@cache
def _machine() -> tuple[dict[str, int], list[list[int]], list[int], list[int], list[bool]]:
    """Ids, transitions, classes, values and accepting states of the reading grammar, as plain lists for speed."""
    grammar = d.grammar("any", max_atoms=MAX_ATOMS)
    # special tokens are not part of a string: like unknown ones they read as padding, which is allowed nowhere
    ids = {token: number for number, token in enumerate(d.vocabulary(MAX_ATOMS).tokens) if number > d.END}
    tables = grammar.next_state, grammar.token_class, grammar.token_value, grammar.accept
    next_state, token_class, token_value, accept = (table.tolist() for table in tables)
    return ids, next_state, token_class, token_value, accept


def parse(string: str) -> QuotientGraph:
    """The graph of a string; of repeated bonds the first counts.

    Raises DecodeError with reason `parse`, naming the token and its place.
    """
    if len(string) > MAX_STRING:
        raise _wrong(f"{len(string)} characters; at most {MAX_STRING} are read")
    tokens = modern_tokens(string)
    space_group, start = _read_prefix(tokens)
    ids, next_state, token_class, token_value, accept = _machine()
    numbers: list[int] = []
    edges: list[list[int]] = []
    state, first = d.START, -1
    for place in range(start, len(tokens)):
        token = ids.get(tokens[place], d.PAD)
        after = next_state[state][token]
        if after == d.FORBIDDEN:
            raise _wrong(f"token {place + 1} is {tokens[place][:20]!r} where {_EXPECTED[state]} must come")
        kind, value = token_class[token], token_value[token]
        if kind == d.INDEX:
            if value >= len(numbers):
                raise _wrong(f"token {place + 1} names atom {value} of {len(numbers)} atoms, counted from 0")
            if state == d.SECOND:
                edges.append([first, value, 0, 0, NO_LENGTH])
            first = value
        elif kind == d.LABEL:
            edges[-1][2] = value
            if edges[-1][0] == edges[-1][1] and d.LABELS[value] == "ooo":
                raise _wrong(f"token {place + 1} bonds atom {first} to itself in the same cell")
        elif kind == d.ELEMENT:
            numbers.append(value)
        else:
            edges[-1][3], edges[-1][4] = kind == d.CONTACT, value
        state = after
    if not accept[state]:
        raise _wrong(f"the string ends where {_EXPECTED[state]} must come (after {len(tokens)} tokens)")
    if len(numbers) > MAX_ATOMS:
        raise _wrong(f"{len(numbers)} atoms; at most {MAX_ATOMS} are read")
    i, j, label, contact, length = np.array(edges, dtype=np.int64).T
    return QuotientGraph.from_edges(
        np.array(numbers, dtype=np.int64),
        i,
        j,
        d.LABEL_SHIFTS[label],
        contact.astype(bool),
        length.astype(np.int16),
        space_group,
    )


def _wrong(what: str) -> DecodeError:
    return DecodeError("parse", what)


def _read_prefix(tokens: list[str]) -> tuple[int | None, int]:
    """Space group and the place of the first token after the prefix."""
    stop = 0
    while stop < len(tokens) and tokens[stop] in _PREFIX:
        stop += 1
    if stop == 0:
        return None, 0
    number = number_of(tuple(tokens[:stop]))
    if number is None:
        raise _wrong(f"the prefix {' '.join(tokens[:stop])[:60]!r} spells no space group")
    return number, stop


def print_graph(graph: QuotientGraph) -> str:
    """The string of a graph; raises ValueError for a shift outside of {-1, 0, 1} (see gauge.fit_labels)."""
    if graph.n_edges and np.abs(graph.shifts).max() > 1:
        raise ValueError("labels outside of {-1, 0, 1} have no token")
    tokens = list(prefixes()[graph.space_group]) if graph.space_group else []
    tokens += [d.ELEMENTS[number - 1] for number in graph.numbers.tolist()]
    labels = ((graph.shifts + 1) @ np.array([9, 3, 1])).tolist()
    columns = graph.i.tolist(), graph.j.tolist(), labels, graph.contact.tolist(), graph.length.tolist()
    for i, j, label, contact, step in zip(*columns, strict=True):
        tokens += (str(i), str(j), d.LABELS[label])
        if step != NO_LENGTH:
            tokens.append(f"~{step}" if contact else f"={step}")
    return " ".join(tokens)


def dialect_of(string: str) -> d.Dialect:
    """`metric` if any bond has a length, otherwise `rigid` if any contact has one, otherwise `plain`."""
    return "metric" if " =" in string else "rigid" if " ~" in string else "plain"
