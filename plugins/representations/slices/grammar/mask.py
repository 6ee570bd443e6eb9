"""The decoding mask: which tokens keep each string completable to a crystal's graph that obeys its hard conditions.

It excludes by construction: wrong syntax, an index without atom, an edge written twice (in either direction), an
atom bonded to itself in the same cell, an end before the graph is one net that is periodic in three dimensions, and a
string that its length limit would cut. The work is done in `mask_kernels`, incrementally.

Shapes: R rows, V vocabulary, N atoms, Z atomic numbers, T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import ConditionError
from crystalfw.core.interfaces import GrammarState
from crystalfw.plugins.representations.slices.grammar import mask_kernels as k
from crystalfw.plugins.representations.slices.grammar.hard_conditions import HardConditions, read_conditions
from crystalfw.plugins.representations.slices.text import dialects as d


class SlicesMask(GrammarState):
    """The mask of R strings in one dialect; rows are independent."""

    def __init__(
        self,
        rows: int,
        max_length: int,
        constraints: Sequence[Mapping[str, Any]] | None = None,
        *,
        dialect: str = "plain",
        prefix: bool = False,
        max_atoms: int = d.MAX_ATOMS,
    ) -> None:
        self._grammar = d.grammar(dialect, prefix, max_atoms)
        self._syntax = self._grammar.next_state != d.FORBIDDEN
        self._max_length, self._max_atoms = max_length, max_atoms
        classes = self._grammar.token_class
        self._first_of = np.array([int(np.argmax(classes == kind)) for kind in range(d.INDEX + 1)])
        self._special = int(np.argmax(classes == d.PAD)), int(np.argmax(classes == d.END))
        after_label = self._grammar.next_state[d.NEEDS_LABEL, self._first_of[d.LABEL]]
        self._edge_cost = 3 if self._syntax[after_label, self._first_of[d.INDEX]] else 4
        self._to_atom = _tokens_to_atom(self._grammar, int(self._first_of[d.ELEMENT]))
        self._ids = {token: number for number, token in enumerate(d.vocabulary(max_atoms).tokens)}
        self._conditions: list[HardConditions] = []
        self._allocate(0)
        self.append_rows(rows, constraints)

    def mask(self) -> NDArray[np.bool_]:
        """(R, V), True where the token may come next; only `<pad>` after the end."""
        allowed_RV = np.empty((len(self._rows), len(self._grammar.token_class)), dtype=bool)
        k.allow(
            allowed_RV, self._rows, self._grammar.next_state, self._syntax, self._to_atom, self._first_of, self._edge_cost,
            self._special, self._nets, self._used, self._free, self._counts, self._lower, self._upper, self._forced,
            self._n_forced,
        )  # fmt: skip
        for r in self._ruled:
            self._apply_rules(r, allowed_RV[r])
        return allowed_RV

    def advance(self, ids: NDArray[np.int64]) -> None:
        """Append token ids (R,), each allowed by the mask; raises ValueError for a token out of place."""
        row = k.step(
            np.asarray(ids, dtype=np.int64), self._rows, self._grammar.next_state, self._grammar.token_class,
            self._grammar.token_value, self._nets, self._used, self._free, self._counts, self._lower,
        )  # fmt: skip
        if row >= 0:
            raise ValueError(f"row {row}: token {int(ids[row])} may not come here")

    def select(self, rows: NDArray[np.int64]) -> None:
        """Keep these rows, in this order; a row may occur twice."""
        rows = np.asarray(rows)
        moved = np.flatnonzero(rows != np.arange(len(rows)))
        if (rows[moved] >= len(rows)).all():
            # New rows replace finished ones, so that the others need not be copied.
            for name in self._tables:
                table = getattr(self, name)
                table[moved] = table[rows[moved]]
                setattr(self, name, table[: len(rows)])
        else:
            for name in self._tables:
                setattr(self, name, getattr(self, name)[rows])
        self._conditions = [self._conditions[row] for row in rows]
        self._note_rules()

    def append_rows(self, count: int, constraints: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Add fresh rows; raises ConditionError for conditions that no string of the allowed length can meet."""
        asked = list(constraints) if constraints is not None else [{}] * count
        assert len(asked) == count, "one mapping of constraints per row"
        conditions = [read_conditions(item, self._ids, self._max_atoms) for item in asked]
        old = {name: getattr(self, name) for name in self._tables}
        self._allocate(count, max([self._forced.shape[1], *(len(item.prefix) for item in conditions)]))
        for r, item in enumerate(conditions):
            self._begin(r, item)
        for name, table in old.items():
            if name == "_forced":
                table = np.pad(table, ((0, 0), (0, self._forced.shape[1] - table.shape[1])))
            setattr(self, name, np.concatenate([table, getattr(self, name)]))
        self._conditions += conditions
        self._note_rules()
        for r in range(len(self._rows) - count, len(self._rows)):
            if conditions[r - len(self._rows)].prefix:
                self._try_prefix(r)

    _tables = ("_rows", "_nets", "_used", "_free", "_counts", "_lower", "_upper", "_forced", "_n_forced")

    def _allocate(self, rows: int, longest_prefix: int = 1) -> None:
        n = self._max_atoms
        self._rows = np.zeros((rows, k.N_COLUMNS), dtype=np.int32)
        self._nets = np.zeros((rows, n + 3, 4), dtype=np.int64)
        self._used = np.zeros((rows, n, n), dtype=np.uint32)
        self._free = np.zeros((rows, n), dtype=np.int32)
        self._counts = np.zeros((rows, k.N_NUMBERS), dtype=np.int16)
        self._lower = np.zeros((rows, k.N_NUMBERS), dtype=np.int16)
        self._upper = np.zeros((rows, k.N_NUMBERS), dtype=np.int16)
        self._forced = np.zeros((rows, longest_prefix), dtype=np.int32)
        self._n_forced = np.zeros(rows, dtype=np.int32)

    def _begin(self, r: int, item: HardConditions) -> None:
        left = self._max_length - 2
        affordable = (left - 2 * self._edge_cost) // (1 + self._edge_cost)
        most = min(item.most, self._max_atoms, affordable)
        fewest = item.fewest(most)
        if fewest > most:
            raise ConditionError(
                f"{item.text or 'no condition'}: at least {fewest} atoms are needed; "
                f"at most {most} can be written within {self._max_length} tokens"
            )
        self._rows[r, k.LEFT], self._rows[r, k.MIN_ATOMS], self._rows[r, k.MAX_ATOMS] = left, item.least, most
        self._rows[r, k.OWED] = item.lower.sum()
        self._lower[r], self._upper[r] = item.lower, item.upper
        self._n_forced[r] = len(item.prefix)
        self._forced[r, : len(item.prefix)] = item.prefix

    def _note_rules(self) -> None:
        """Rows whose elements a rule beyond per-element bounds decides."""
        self._ruled = [r for r, item in enumerate(self._conditions) if item.rule is not None]

    def _apply_rules(self, r: int, allowed_V: NDArray[np.bool_]) -> None:
        state = int(self._rows[r, k.STATE])
        if state in (d.SECOND, d.NEEDS_LABEL, d.LABELLED, d.EDGE, d.DONE):
            return
        rule = self._conditions[r].rule
        assert rule is not None
        left, n = int(self._rows[r, k.LEFT]), int(self._rows[r, k.N_ATOMS])
        affordable = n + (left - self._edge_cost * (n + 2)) // (1 + self._edge_cost)
        most = min(int(self._rows[r, k.MAX_ATOMS]), affordable)
        first = int(self._first_of[d.ELEMENT])
        elements_E = allowed_V[first : first + k.N_NUMBERS - 1]
        if elements_E.any():
            elements_E &= rule.next_atoms(self._counts[r], most)[1:]
        if not rule.holds(self._counts[r]):
            allowed_V[self._first_of[d.INDEX] :] = False

    def _try_prefix(self, r: int) -> None:
        """Write the given beginning once, on a copy; raises ConditionError at the token that the mask forbids."""
        item = self._conditions[r]
        trial = object.__new__(SlicesMask)
        trial.__dict__.update(self.__dict__)
        for name in self._tables:
            setattr(trial, name, getattr(self, name)[[r]])
        trial._conditions = [item]
        trial._note_rules()
        for place, token in enumerate(item.prefix):
            if not trial.mask()[0, token]:
                word = d.vocabulary(self._max_atoms).tokens[token]
                raise ConditionError(f"{item.text}: token {place + 1} of the prefix, '{word}', leads to no valid string")
            trial.advance(np.array([token]))


def _tokens_to_atom(grammar: d.Grammar, first_element: int) -> NDArray[np.int32]:
    """(S,) minimum number of prefix tokens that must still come before an atom; 0 in states without prefix."""
    tokens_S = np.zeros(grammar.n_states, dtype=np.int32)
    tokens_S[d.N_STATES :] = np.where(grammar.next_state[d.N_STATES :, first_element] >= 0, 0, 1000)
    for state in range(grammar.n_states - 1, d.N_STATES - 1, -1):
        # Nodes of the trie are numbered from the root, so that children come later.
        children = grammar.next_state[state][grammar.next_state[state] >= d.N_STATES]
        if len(children):
            tokens_S[state] = min(tokens_S[state], 1 + tokens_S[children].min())
    return tokens_S
