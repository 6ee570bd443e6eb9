"""Tokens and grammar of the three dialects: the single definition that parser, printer, vocabulary and decoding mask share.

    string  = [prefix] atom+ edge+
    edge    = index index label             plain: every bond
            | index index label "~" step    rigid, metric: a contact and its length
            | index index label "=" step    metric: a bond and its length

One length scale serves both kinds of length token: step k means 0.7 * 1.15^(k/6) angstrom, 2.4 % from step to step.
`rigid` writes contacts coarsely, on every sixth step (15 %); `metric` uses every step. So a string shows its dialect:
`=` anywhere is metric, else `~` anywhere is rigid, else plain (a rigid string without contacts is a plain one).

Shapes: V vocabulary, S states.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.records import Vocabulary
from crystalfw.plugins.representations.slices.text.space_groups import PREFIX_TOKENS, prefixes

Dialect = Literal["plain", "rigid", "metric"]
DIALECTS: tuple[Dialect, ...] = ("plain", "rigid", "metric")
MAX_ATOMS = 64
"""Default number of atom-index tokens."""

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo "
    "Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl "
    "Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr"
)
ELEMENTS: tuple[str, ...] = tuple(_SYMBOLS.split())
"""Symbols in the order of atomic numbers, H = 1 to Lr = 103."""
LABELS: tuple[str, ...] = tuple(a + b + c for a in "-o+" for b in "-o+" for c in "-o+")
"""Label number k stands for the shift `LABEL_SHIFTS[k]`."""
LABEL_SHIFTS: NDArray[np.int64] = np.array([["-o+".index(sign) - 1 for sign in label] for label in LABELS])

SHORTEST, COARSE, FINE = 0.7, 1.15, 6
N_STEPS = 144
"""Steps of the length scale: 0.70 to 19.6 angstrom."""


def angstrom(step: NDArray[np.int16] | int) -> NDArray[np.float64]:
    """Length in angstrom of a step of the scale; NaN for NO_LENGTH."""
    step = np.asarray(step, dtype=np.float64)
    return np.where(step < 0, np.nan, SHORTEST * COARSE ** (step / FINE))


def nearest_step(length: NDArray[np.float64], coarse: bool = False) -> NDArray[np.int16]:
    """The step nearest to each length in angstrom, on a logarithmic scale; every sixth step if coarse."""
    stride = FINE if coarse else 1
    exact = FINE * np.log(np.asarray(length, dtype=np.float64) / SHORTEST) / np.log(COARSE)
    return (np.clip(np.rint(exact / stride), 0, (N_STEPS - 1) // stride) * stride).astype(np.int16)


PAD, BEGIN, END, ELEMENT, LABEL, CONTACT, LENGTH, PREFIX, INDEX = range(9)
"""Classes of tokens; `Grammar.token_class` says which a token has."""


@cache
def _lexicon(max_atoms: int) -> tuple[tuple[str, int, int], ...]:
    """(token, class, value) in the order of ids; indices last, so that max_atoms moves no other id."""
    special = [("<pad>", PAD, 0), ("<begin>", BEGIN, 0), ("<end>", END, 0)]
    groups = [
        [(symbol, ELEMENT, number) for number, symbol in enumerate(ELEMENTS, start=1)],
        [(label, LABEL, number) for number, label in enumerate(LABELS)],
        [(f"~{step}", CONTACT, step) for step in range(N_STEPS)],
        [(f"={step}", LENGTH, step) for step in range(N_STEPS)],
        [(token, PREFIX, number) for number, token in enumerate(PREFIX_TOKENS)],
        [(str(index), INDEX, index) for index in range(max_atoms)],
    ]
    return tuple(special + [entry for group in groups for entry in group])


@cache
def vocabulary(max_atoms: int = MAX_ATOMS) -> Vocabulary:
    """All tokens of all dialects in their fixed order."""
    return Vocabulary(tokens=tuple(token for token, _, _ in _lexicon(max_atoms)))


START, ATOMS, SECOND, NEEDS_LABEL, LABELLED, EDGE, DONE, N_STATES = range(8)
"""States: nothing yet (with prefix: only the prefix) | some atoms | an edge's first atom | both atoms | the label, where
a length token may or must follow | an edge complete | the end. Prefix states come after N_STATES."""
FORBIDDEN = -1


@dataclass(frozen=True)
class Grammar:
    """The finite-state machine of one dialect, token by token, as arrays.

    It knows syntax only; that an index names an existing atom and that the graph becomes a crystal is the mask's work.
    """

    dialect: Dialect | Literal["any"]
    prefix: bool
    """True if a string may begin with a space-group prefix."""
    token_class: NDArray[np.int8]
    """(V,) class of each token: PAD ... INDEX."""
    token_value: NDArray[np.int16]
    """(V,) atomic number, label number, length step or atom index; 0 for the special tokens."""
    next_state: NDArray[np.int16]
    """(S, V) state after the token, FORBIDDEN where it may not come."""
    accept: NDArray[np.bool_]
    """(S,) True where the string may end: `<end>` leads to DONE."""

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return len(self.next_state)


@cache
def grammar(dialect: Dialect | Literal["any"], prefix: bool = False, max_atoms: int = MAX_ATOMS) -> Grammar:
    """The grammar of a dialect; with `prefix`, strings may begin with a space-group prefix. `any` is for reading: a
    length token may follow every label."""
    if dialect not in (*DIALECTS, "any"):
        raise ValueError(f"no dialect called {dialect!r}; there are {', '.join(DIALECTS)}")
    lexicon = _lexicon(max_atoms)
    token_class = np.array([entry[1] for entry in lexicon], dtype=np.int8)
    token_value = np.array([entry[2] for entry in lexicon], dtype=np.int16)
    table = _core_table(dialect, token_class, token_value)
    if prefix:
        table = _with_prefixes(table, vocabulary(max_atoms).tokens)
    accept = table[:, END] == DONE
    for array in (token_class, token_value, table, accept):
        array.setflags(write=False)
    return Grammar(dialect, prefix, token_class, token_value, table, accept)


def _core_table(dialect: str, token_class: NDArray[np.int8], token_value: NDArray[np.int16]) -> NDArray[np.int16]:
    """Transitions without prefixes, (N_STATES, V)."""
    table = np.full((N_STATES, len(token_class)), FORBIDDEN, dtype=np.int16)

    def allow(state: int, token: int, then: int) -> None:
        table[state, token_class == token] = then

    allow(START, ELEMENT, ATOMS)
    allow(ATOMS, ELEMENT, ATOMS)
    allow(ATOMS, INDEX, SECOND)
    allow(SECOND, INDEX, NEEDS_LABEL)
    allow(NEEDS_LABEL, LABEL, EDGE if dialect == "plain" else LABELLED)
    allow(EDGE, INDEX, SECOND)
    allow(EDGE, END, DONE)
    allow(DONE, PAD, DONE)
    if dialect in ("rigid", "any"):
        allow(LABELLED, INDEX, SECOND)
        allow(LABELLED, END, DONE)
    if dialect == "rigid":
        table[LABELLED, (token_class == CONTACT) & (token_value % FINE == 0)] = EDGE
    if dialect in ("metric", "any"):
        allow(LABELLED, CONTACT, EDGE)
        allow(LABELLED, LENGTH, EDGE)
    return table


def _with_prefixes(table: NDArray[np.int16], tokens: tuple[str, ...]) -> NDArray[np.int16]:
    """The table with a trie of the 230 prefixes behind START; after a whole prefix an atom must follow."""
    ids = {token: number for number, token in enumerate(tokens)}
    rows = [table]
    nodes: dict[tuple[str, ...], int] = {(): START}
    for spelling in prefixes().values():
        for depth in range(1, len(spelling) + 1):
            if spelling[:depth] not in nodes:
                nodes[spelling[:depth]] = N_STATES + len(nodes) - 1
    rows.append(np.full((len(nodes) - 1, table.shape[1]), FORBIDDEN, dtype=np.int16))
    grown = np.concatenate(rows)
    for path, node in nodes.items():
        if path:
            grown[nodes[path[:-1]], ids[path[-1]]] = node
    whole = [nodes[spelling] for spelling in prefixes().values()]
    grown[whole] = table[START]
    return grown
