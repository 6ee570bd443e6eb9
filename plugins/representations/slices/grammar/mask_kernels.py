"""The decoding mask, compiled: one pass over all rows per token.

A row always keeps `left >= cost of the cheapest completion we know`: so many tokens that it can still name the atoms it
must have, join all components and close the cycles that are missing, one edge each. Joining is always possible (no edge
between two components is used up) and so is closing (a loop outside of the lattice of cycles was never written).

Shapes: R rows, V vocabulary, S states, N atoms, Z atomic numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.system.compiled import njit
from crystalfw.plugins.representations.slices.graph.cycles import ENLARGES, MERGES, add_edge, index, new_net
from crystalfw.plugins.representations.slices.text.dialects import (
    ATOMS,
    DONE,
    EDGE,
    ELEMENT,
    INDEX,
    LABEL,
    LABEL_SHIFTS,
    LABELLED,
    LABELS,
    NEEDS_LABEL,
    SECOND,
    START,
)

N_NUMBERS = 104
N_LABELS = len(LABELS)
SAME_CELL = LABELS.index("ooo")
LOOPS = 13
"""Different loops at an atom: half of the labels other than ooo."""

# Columns of the integer table: the state of each row.
STATE, LEFT, N_ATOMS, FIRST, OTHER, MERGERS, CYCLES, OWED, MIN_ATOMS, MAX_ATOMS, PLACE, N_COLUMNS = range(12)
"""State of the grammar; tokens left before the end; atoms so far; both atoms of the edge being written; components minus
one; loops that complete the lattice; atoms that must still come; fewest and most atoms; tokens so far."""


@njit(cache=True)
def missing_cycles(net: NDArray[np.int64]) -> int:
    """The fewest loops, with labels in {-1, 0, 1}, after which the net's cycles generate Z^3: 0 to 3."""
    if index(net) == 1:
        return 0
    small = new_net(1)
    for row in range(1, 4):
        for column in range(1, 4):
            small[row, column] = net[len(net) - 4 + row, column]
    rank = (small[1, 1] != 0) + (small[2, 2] != 0) + (small[3, 3] != 0)
    if rank == 0:
        return 3
    fewest = 3
    for first in range(SAME_CELL + 1, N_LABELS):
        one = small.copy()
        if add_edge(one, 0, 0, LABEL_SHIFTS[first]) != ENLARGES:
            continue
        if index(one) == 1:
            return 1
        for second in range(first + 1, N_LABELS):
            if fewest == 2:
                break
            two = one.copy()
            add_edge(two, 0, 0, LABEL_SHIFTS[second])
            if index(two) == 1:
                fewest = 2
        if fewest == 3 - rank:
            break
    return fewest


@njit(cache=True)
def normal_edge(i: int, j: int, label: int) -> tuple[int, int, int]:
    """Lower atom first; of a loop's two directions the later label. The opposite of label k is 26 - k."""
    if i < j:
        return i, j, label
    if i > j:
        return j, i, N_LABELS - 1 - label
    return i, i, max(label, N_LABELS - 1 - label)


@njit(cache=True)
def is_free(used_NN: NDArray[np.uint32], i: int, j: int, label: int) -> bool:
    """True if the edge is not yet written in either direction and does not bond an atom to itself in the same cell."""
    if i == j and label == SAME_CELL:
        return False
    low, high, normal = normal_edge(i, j, label)
    return not (used_NN[low, high] >> np.uint32(normal)) & np.uint32(1)


@njit(cache=True)
def n_free(used_NN: NDArray[np.uint32], i: int, j: int) -> int:
    """Edges between i and j that are not yet written."""
    bits, count = used_NN[min(i, j), max(i, j)], 0
    while bits:
        bits &= bits - np.uint32(1)
        count += 1
    return (LOOPS if i == j else N_LABELS) - count


@njit(cache=True)
def needed_after(row: NDArray[np.int32], net: NDArray[np.int64], i: int, j: int, label: int) -> int:
    """Edges that a completion needs after this one."""
    trial = net.copy()
    what = add_edge(trial, i, j, LABEL_SHIFTS[label])
    mergers = row[MERGERS] - (1 if what == MERGES else 0)
    cycles = missing_cycles(trial) if what == ENLARGES else row[CYCLES]
    return mergers + cycles


@njit(cache=True)
def completes(
    row: NDArray[np.int32], net: NDArray[np.int64], used_NN: NDArray[np.uint32], i: int, j: int, max_after: int
) -> bool:
    """True if some free edge between i and j leaves at most `max_after` edges to be needed."""
    for label in range(N_LABELS):  # noqa: SIM110 - numba compiles no generator
        if is_free(used_NN, i, j, label) and needed_after(row, net, i, j, label) <= max_after:
            return True
    return False


@njit(cache=True)
def _allow_atoms(
    allowed_V: NDArray[np.bool_],
    row: NDArray[np.int32],
    next_state_V: NDArray[np.int16],
    to_atom_S: NDArray[np.int32],
    counts_Z: NDArray[np.int16],
    lower_Z: NDArray[np.int16],
    upper_Z: NDArray[np.int16],
    first_of: NDArray[np.int64],
    edge_cost: int,
) -> None:
    """States before the first edge: elements, space-group tokens, the index that ends the list of atoms."""
    n, left, owed = row[N_ATOMS], row[LEFT], row[OWED]
    for number in range(1, N_NUMBERS):
        token = first_of[ELEMENT] + number - 1
        if next_state_V[token] < 0 or counts_Z[number] >= upper_Z[number]:
            continue
        still = owed - (1 if counts_Z[number] < lower_Z[number] else 0)
        still = max(still, row[MIN_ATOMS] - n - 1)
        total = n + 1 + still
        if total <= row[MAX_ATOMS] and left - 1 >= still + edge_cost * (total + 2):
            allowed_V[token] = True
    total = max(1, owed, row[MIN_ATOMS])
    for token in range(len(next_state_V)):
        then = next_state_V[token]
        if then > DONE and left - 1 >= to_atom_S[then] + total + edge_cost * (total + 2):
            allowed_V[token] = True
    if row[STATE] == ATOMS and owed == 0 and n >= row[MIN_ATOMS]:
        for i in range(n):
            allowed_V[first_of[INDEX] + i] = True


@njit(cache=True)
def _allow_in_edges(
    allowed_V: NDArray[np.bool_],
    row: NDArray[np.int32],
    syntax_V: NDArray[np.bool_],
    net: NDArray[np.int64],
    used_NN: NDArray[np.uint32],
    free_N: NDArray[np.int32],
    first_of: NDArray[np.int64],
    edge_cost: int,
    end: int,
) -> None:
    """States among the edges: the tokens after which the graph can still be completed."""
    state, n, left = row[STATE], row[N_ATOMS], row[LEFT]
    needed = row[MERGERS] + row[CYCLES]
    first_index = first_of[INDEX]
    if state in (EDGE, LABELLED):
        # A required length token was counted in the edge; an optional one costs one more.
        if state == LABELLED and (edge_cost == 4 or left - 1 >= edge_cost * needed):
            for token in range(first_index):
                allowed_V[token] = syntax_V[token]
        allowed_V[end] = syntax_V[end] and needed == 0
        if syntax_V[first_index] and left >= edge_cost * max(needed, 1):
            for i in range(n):
                allowed_V[first_index + i] = free_N[i] > 0
    elif state == SECOND:
        max_after = (left - (edge_cost - 1)) // edge_cost
        for j in range(n):
            if n_free(used_NN, row[FIRST], j) > 0:
                allowed_V[first_index + j] = max_after >= needed or completes(row, net, used_NN, row[FIRST], j, max_after)
    elif state == NEEDS_LABEL:
        max_after = (left - (edge_cost - 2)) // edge_cost
        for label in range(N_LABELS):
            if is_free(used_NN, row[FIRST], row[OTHER], label):
                fits = max_after >= needed or needed_after(row, net, row[FIRST], row[OTHER], label) <= max_after
                allowed_V[first_of[LABEL] + label] = fits


@njit(cache=True)
def allow(
    allowed_RV: NDArray[np.bool_],
    rows: NDArray[np.int32],
    next_state_SV: NDArray[np.int16],
    syntax_SV: NDArray[np.bool_],
    to_atom_S: NDArray[np.int32],
    first_of: NDArray[np.int64],
    edge_cost: int,
    special: tuple[int, int],
    nets: NDArray[np.int64],
    used_RNN: NDArray[np.uint32],
    free_RN: NDArray[np.int32],
    counts_RZ: NDArray[np.int16],
    lower_RZ: NDArray[np.int16],
    upper_RZ: NDArray[np.int16],
    forced_RT: NDArray[np.int32],
    n_forced_R: NDArray[np.int32],
) -> None:
    """Fill `allowed_RV` (R, V): True where the token may come next."""
    pad, end = special
    for r in range(len(rows)):
        row, allowed_V = rows[r], allowed_RV[r]
        for token in range(len(allowed_V)):
            allowed_V[token] = False
        state = row[STATE]
        if state == DONE:
            allowed_V[pad] = True
            continue
        if state in (START, ATOMS) or state > DONE:
            _allow_atoms(
                allowed_V, row, next_state_SV[state], to_atom_S, counts_RZ[r], lower_RZ[r], upper_RZ[r], first_of, edge_cost
            )
        else:
            net = nets[r, : row[N_ATOMS] + 3]
            _allow_in_edges(allowed_V, row, syntax_SV[state], net, used_RNN[r], free_RN[r], first_of, edge_cost, end)
        if row[PLACE] < n_forced_R[r]:
            for token in range(len(allowed_V)):
                allowed_V[token] &= token == forced_RT[r, row[PLACE]]


@njit(cache=True)
def _write_edge(
    row: NDArray[np.int32], net: NDArray[np.int64], used_NN: NDArray[np.uint32], free_N: NDArray[np.int32], label: int
) -> None:
    i, j = row[FIRST], row[OTHER]
    low, high, normal = normal_edge(i, j, label)
    used_NN[low, high] |= np.uint32(1) << np.uint32(normal)
    free_N[i] -= 1
    if i != j:
        free_N[j] -= 1
    what = add_edge(net, i, j, LABEL_SHIFTS[label])
    if what == MERGES:
        row[MERGERS] -= 1
    elif what == ENLARGES:
        row[CYCLES] = missing_cycles(net)


@njit(cache=True)
def _begin_net(row: NDArray[np.int32], net: NDArray[np.int64], used_NN: NDArray[np.uint32], free_N: NDArray[np.int32]) -> None:
    """The list of atoms is complete: as many components, no cycle."""
    n = row[N_ATOMS]
    for i in range(n + 3):
        net[i, 0] = i if i < n else 0
        for column in range(1, 4):
            net[i, column] = 0
    for i in range(n):
        free_N[i] = N_LABELS * (n - 1) + LOOPS
        for j in range(n):
            used_NN[i, j] = 0
    row[MERGERS], row[CYCLES] = n - 1, 3


@njit(cache=True)
def step(
    ids_R: NDArray[np.int64],
    rows: NDArray[np.int32],
    next_state_SV: NDArray[np.int16],
    token_class_V: NDArray[np.int8],
    token_value_V: NDArray[np.int16],
    nets: NDArray[np.int64],
    used_RNN: NDArray[np.uint32],
    free_RN: NDArray[np.int32],
    counts_RZ: NDArray[np.int16],
    lower_RZ: NDArray[np.int16],
) -> int:
    """Append one token to every row; returns the first row whose token the syntax forbids, -1 if there is none."""
    for r in range(len(rows)):
        row, token = rows[r], ids_R[r]
        before, kind, value = row[STATE], token_class_V[token], token_value_V[token]
        then = next_state_SV[before, token]
        if then < 0:
            return r
        if before == DONE:
            continue
        row[STATE], row[LEFT], row[PLACE] = then, row[LEFT] - 1, row[PLACE] + 1
        if kind == ELEMENT:
            if counts_RZ[r, value] < lower_RZ[r, value]:
                row[OWED] -= 1
            counts_RZ[r, value] += 1
            row[N_ATOMS] += 1
        elif kind == INDEX:
            n = row[N_ATOMS]
            if value >= n:
                return r
            if before == ATOMS:
                _begin_net(row, nets[r], used_RNN[r], free_RN[r])
            row[FIRST if then == SECOND else OTHER] = value
        elif kind == LABEL:
            _write_edge(row, nets[r, : row[N_ATOMS] + 3], used_RNN[r], free_RN[r], value)
    return -1
