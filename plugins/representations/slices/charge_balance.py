"""Charge balance as a hard condition: which atoms can still become a neutral cell.

The test of SMACT (Davies et al., J. Open Source Softw. 4 (2019) 1361): charges add up to zero with one oxidation state per
element, and every cation is less electronegative than every anion (Pauling). Its exemption of metals is left out.

Shapes: Z atomic numbers, S oxidation states, M elements present, Q charges.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from crystalfw.plugins.representations.slices.dialects import ELEMENTS

Ints = NDArray[np.int64]
N_NUMBERS = len(ELEMENTS) + 1
HIGHEST = 9
"""No oxidation state is larger."""


class Balanced:
    """The rule for one set of bounds on the elements.

    A completion adds atoms of one element only (two to an empty list): some balanced compositions near the limit of atoms
    are thereby excluded, none that is not balanced is let through.
    """

    def __init__(self, lower_Z: NDArray[Any], upper_Z: NDArray[Any], least: int) -> None:
        self.lower_Z, self.upper_Z, self.least = lower_Z.astype(np.int64), upper_Z.astype(np.int64), least
        self._known: dict[tuple[bytes, int], bool] = {}

    def holds(self, counts_Z: NDArray[Any]) -> bool:
        """True where the atoms can be neutral."""
        return bool(_is_neutral(np.asarray(counts_Z, dtype=np.int64), *_ions()))

    def completable(self, counts_Z: NDArray[Any], most: int) -> bool:
        """True where atoms of one element, up to `most` in all, make the cell neutral, what is required included."""
        key = counts_Z.tobytes(), most
        if key not in self._known:
            wanted_Z = np.maximum(counts_Z, self.lower_Z)
            starts = [wanted_Z] if wanted_Z.any() else list(np.eye(N_NUMBERS, dtype=np.int64)[1:])
            bounds = self.upper_Z, self.least, most
            self._known[key] = any(_completable(start, *bounds, *_ions(), _closers()) for start in starts)
        return self._known[key]


@cache
def _ions() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(Z, S) oxidation states other than 0 in SMACT's set smact14, then zeros; (Z,) Pauling's electronegativities.

    An element without electronegativity has no states: SMACT calls its compounds invalid.
    """
    from smact import Element

    states_ZS, electronegativity_Z = np.zeros((N_NUMBERS, 2 * HIGHEST), dtype=np.int64), np.zeros(N_NUMBERS)
    for number, symbol in enumerate(ELEMENTS, start=1):
        element = Element(symbol)
        if element.pauling_eneg is None:
            continue
        known = sorted({int(state) for state in element.oxidation_states_smact14 or [] if state != 0})
        states_ZS[number, : len(known)] = known
        electronegativity_Z[number] = element.pauling_eneg
    return states_ZS, electronegativity_Z


@cache
def _closers() -> Ints:
    """Atomic numbers in the order in which they are tried: first those that close most compositions."""
    return np.array(sorted(range(1, N_NUMBERS), key=lambda z: (ELEMENTS[z - 1] not in ("H", "O", "F", "Na"), z)))


@njit(cache=True)
def _ordered(counts_Z: Ints, without: int, electronegativity_Z: NDArray[np.float64]) -> Ints:
    """(M,) atomic numbers present, by electronegativity."""
    found = np.empty(len(counts_Z), dtype=np.int64)
    count = 0
    for number in range(1, len(counts_Z)):
        if counts_Z[number] > 0 and number != without:
            place = count
            while place > 0 and electronegativity_Z[found[place - 1]] > electronegativity_Z[number]:
                found[place] = found[place - 1]
                place -= 1
            found[place] = number
            count += 1
    return found[:count]


@njit(cache=True)
def _reach(counts_Z: Ints, numbers: Ints, sign: int, states_ZS: Ints) -> NDArray[np.bool_]:
    """(M + 1, Q) True at q where the first m elements can carry the charge sign * q, all with that sign."""
    total = 0
    for number in numbers:
        total += counts_Z[number]
    reach = np.zeros((len(numbers) + 1, HIGHEST * total + 1), dtype=np.bool_)
    reach[0, 0] = True
    for m, number in enumerate(numbers):
        for state in states_ZS[number]:
            charge = counts_Z[number] * state * sign
            if charge > 0:
                for q in range(charge, reach.shape[1]):
                    reach[m + 1, q] |= reach[m, q - charge]
    return reach


@njit(cache=True)
def _is_cut(numbers: Ints, cut: int, electronegativity_Z: NDArray[np.float64]) -> bool:
    """True where the elements before the cut can be the cations: no cut between equal electronegativities."""
    if cut == 0 or cut == len(numbers):
        return True
    return electronegativity_Z[numbers[cut - 1]] < electronegativity_Z[numbers[cut]]


@njit(cache=True)
def _excess(counts_Z: Ints, numbers: Ints, states_ZS: Ints, electronegativity_Z: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(M + 1, 2 Q - 1) True at Q - 1 + q where these atoms can carry the charge q, for every cut."""
    cations = _reach(counts_Z, numbers, 1, states_ZS)
    anions = _reach(counts_Z, numbers[::-1], -1, states_ZS)
    n_cuts, size = cations.shape
    excess = np.zeros((n_cuts, 2 * size - 1), dtype=np.bool_)
    for cut in range(n_cuts):
        if not _is_cut(numbers, cut, electronegativity_Z):
            continue
        for plus in range(size):
            if cations[cut, plus]:
                for minus in range(size):
                    if anions[n_cuts - 1 - cut, minus]:
                        excess[cut, size - 1 + plus - minus] = True
    return excess


@njit(cache=True)
def _is_neutral(counts_Z: Ints, states_ZS: Ints, electronegativity_Z: NDArray[np.float64]) -> bool:
    numbers = _ordered(counts_Z, 0, electronegativity_Z)
    excess = _excess(counts_Z, numbers, states_ZS, electronegativity_Z)
    middle = excess.shape[1] // 2
    for cut in range(len(excess)):
        if excess[cut, middle]:
            return len(numbers) > 0
    return False


@njit(cache=True)
def _closes(
    number: int,
    fewest: int,
    most: int,
    numbers: Ints,
    excess: NDArray[np.bool_],
    states_ZS: Ints,
    electronegativity_Z: NDArray[np.float64],
) -> bool:
    """True where `fewest` to `most` atoms of one more element make the others neutral."""
    middle = excess.shape[1] // 2
    own = electronegativity_Z[number]
    for cut in range(len(excess)):
        as_cation = cut == len(numbers) or own < electronegativity_Z[numbers[cut]]
        as_anion = cut == 0 or own > electronegativity_Z[numbers[cut - 1]]
        for state in states_ZS[number]:
            if (state > 0 and as_cation) or (state < 0 and as_anion):
                for amount in range(fewest, most + 1):
                    place = middle - amount * state
                    if 0 <= place < excess.shape[1] and excess[cut, place]:
                        return True
    return False


@njit(cache=True)
def _completable(
    counts_Z: Ints,
    upper_Z: Ints,
    least: int,
    most: int,
    states_ZS: Ints,
    electronegativity_Z: NDArray[np.float64],
    closers: Ints,
) -> bool:
    n = 0
    for number in range(1, len(counts_Z)):
        n += counts_Z[number]
        if counts_Z[number] > upper_Z[number] or (counts_Z[number] > 0 and states_ZS[number, 0] == 0):
            return False
    if n > most:
        return False
    if n >= least and _is_neutral(counts_Z, states_ZS, electronegativity_Z):
        return True
    everyone = _ordered(counts_Z, 0, electronegativity_Z)
    excess = _excess(counts_Z, everyone, states_ZS, electronegativity_Z)
    for number in closers:
        present = counts_Z[number]
        fewest = present + max(1, least - n)
        room = min(present + most - n, upper_Z[number])
        if room < fewest or states_ZS[number, 0] == 0:
            continue
        if present == 0:
            if _closes(number, fewest, room, everyone, excess, states_ZS, electronegativity_Z):
                return True
        else:
            others = _ordered(counts_Z, number, electronegativity_Z)
            rest = _excess(counts_Z, others, states_ZS, electronegativity_Z)
            if _closes(number, fewest, room, others, rest, states_ZS, electronegativity_Z):
                return True
    return False
