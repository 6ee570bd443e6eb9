"""Charge balance as a hard condition: which atoms can still be completed to a neutral cell.

The test of SMACT (Davies et al., J. Open Source Softw. 4 (2019) 1361): charges add up to zero with one oxidation state per
element, and every cation is less electronegative than every anion (Pauling). Its exemption of metals is left out.

Which charges some elements can carry is a row of bits, one for each charge: adding an element is a shift, and two rows meet
where cations and anions can cancel. A test then takes a few dozen operations.

Shapes: Z atomic numbers, S oxidation states, M elements present, W words of 64 charges.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.system.compiled import njit
from crystalfw.plugins.representations.slices.text.dialects import ELEMENTS

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
N_NUMBERS = len(ELEMENTS) + 1
HIGHEST = 9
"""No oxidation state is larger than this."""
_REMEMBERED = 20_000
"""Cached beginnings with their allowed next atoms, about 300 bytes each."""


class Balanced:
    """The rule for one set of bounds on the elements; `balanced` shares it, and its cache, between rows. A completion
    adds atoms of one element only (two to an empty list), so close to the limit of atoms the mask may miss some neutral
    compositions, but it never admits one that is not neutral.
    """

    def __init__(self, lower_Z: NDArray[Any], upper_Z: NDArray[Any], least: int) -> None:
        self.lower_Z, self.upper_Z, self.least = lower_Z.astype(np.int64), upper_Z.astype(np.int64), least
        self._known: dict[tuple[bytes, int], NDArray[np.bool_]] = {}

    def holds(self, counts_Z: NDArray[Any]) -> bool:
        """True if the atoms can be neutral."""
        return is_neutral(counts_Z)

    def completable(self, counts_Z: NDArray[Any], most: int) -> bool:
        """True if atoms of one element, up to `most` in all, make the cell neutral, required atoms included."""
        wanted_Z = np.maximum(counts_Z, self.lower_Z)
        if not wanted_Z.any():
            return bool(self.next_atoms(wanted_Z, most).any())
        return bool(_completable(wanted_Z, self.upper_Z, self.least, most, *_ions(), _closers()))

    def next_atoms(self, counts_Z: NDArray[Any], most: int) -> NDArray[np.bool_]:
        """(Z,) True where one more atom of the element leaves the cell completable; rows of one beginning share it."""
        counts_Z = np.asarray(counts_Z, dtype=np.int64)
        key = counts_Z.tobytes(), most
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = _next_atoms(counts_Z, self.lower_Z, self.upper_Z, self.least, most, *_ions(), _closers())
        return self._known[key]


def is_neutral(counts_Z: NDArray[Any]) -> bool:
    """True if one oxidation state for each element makes the atoms neutral, cations the less electronegative ones."""
    return bool(_is_neutral(np.asarray(counts_Z, dtype=np.int64), *_ions()))


def balanced(lower_Z: NDArray[Any], upper_Z: NDArray[Any], least: int) -> Balanced:
    """The rule for these bounds, the same object for the same bounds."""
    return _balanced(lower_Z.astype(np.int64).tobytes(), upper_Z.astype(np.int64).tobytes(), least)


@lru_cache(maxsize=64)
def _balanced(lower: bytes, upper: bytes, least: int) -> Balanced:
    return Balanced(np.frombuffer(lower, dtype=np.int64), np.frombuffer(upper, dtype=np.int64), least)


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
def _add_shifted(target_W: Words, source_W: Words, shift: int) -> None:
    """target |= source << shift: every charge of the source, and `shift` more."""
    jump, bits = shift // 64, np.uint64(shift % 64)
    for w in range(len(target_W) - 1, jump - 1, -1):
        value = source_W[w - jump] << bits
        if bits and w > jump:
            value |= source_W[w - jump - 1] >> (np.uint64(64) - bits)
        target_W[w] |= value


@njit(cache=True)
def _meet(cations_W: Words, anions_W: Words, extra: int) -> bool:
    """True if some positive charge plus `extra` is the size of some negative one."""
    ahead, behind = (cations_W, anions_W) if extra >= 0 else (anions_W, cations_W)
    jump, bits = abs(extra) // 64, np.uint64(abs(extra) % 64)
    for w in range(jump, len(behind)):
        value = ahead[w - jump] << bits
        if bits and w > jump:
            value |= ahead[w - jump - 1] >> (np.uint64(64) - bits)
        if value & behind[w]:
            return True
    return False


@njit(cache=True)
def _reach(counts_Z: Ints, numbers: Ints, sign: int, states_ZS: Ints, most: int) -> Words:
    """(M + 1, W) bit q set where the first m elements can carry the charge sign * q, all with that sign."""
    reach = np.zeros((len(numbers) + 1, HIGHEST * most // 64 + 1), dtype=np.uint64)
    reach[0, 0] = np.uint64(1)
    for m, number in enumerate(numbers):
        for state in states_ZS[number]:
            if state * sign > 0:
                _add_shifted(reach[m + 1], reach[m], counts_Z[number] * state * sign)
    return reach


@njit(cache=True)
def _is_cut(numbers: Ints, cut: int, electronegativity_Z: NDArray[np.float64]) -> bool:
    """True if the elements before the cut can be the cations: no cut between equal electronegativities."""
    if cut == 0 or cut == len(numbers):
        return True
    return electronegativity_Z[numbers[cut - 1]] < electronegativity_Z[numbers[cut]]


@njit(cache=True)
def _is_neutral(counts_Z: Ints, states_ZS: Ints, electronegativity_Z: NDArray[np.float64]) -> bool:
    numbers = _ordered(counts_Z, 0, electronegativity_Z)
    most = counts_Z.sum()
    cations = _reach(counts_Z, numbers, 1, states_ZS, most)
    anions = _reach(counts_Z, numbers[::-1], -1, states_ZS, most)
    for cut in range(len(numbers) + 1):
        if _is_cut(numbers, cut, electronegativity_Z) and _meet(cations[cut], anions[len(numbers) - cut], 0):
            return len(numbers) > 0
    return False


@njit(cache=True)
def _closes(
    number: int,
    fewest: int,
    most: int,
    numbers: Ints,
    cations: Words,
    anions: Words,
    states_ZS: Ints,
    electronegativity_Z: NDArray[np.float64],
) -> bool:
    """True if `fewest` to `most` atoms of one more element make the others neutral."""
    own = electronegativity_Z[number]
    for cut in range(len(numbers) + 1):
        if not _is_cut(numbers, cut, electronegativity_Z):
            continue
        as_cation = cut == len(numbers) or own < electronegativity_Z[numbers[cut]]
        as_anion = cut == 0 or own > electronegativity_Z[numbers[cut - 1]]
        for state in states_ZS[number]:
            if (state > 0 and as_cation) or (state < 0 and as_anion):
                for amount in range(fewest, most + 1):
                    if _meet(cations[cut], anions[len(numbers) - cut], amount * state):
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
    cations = _reach(counts_Z, everyone, 1, states_ZS, most)
    anions = _reach(counts_Z, everyone[::-1], -1, states_ZS, most)
    for number in closers:
        present = counts_Z[number]
        fewest = present + max(1, least - n)
        room = min(present + most - n, upper_Z[number])
        if room < fewest or states_ZS[number, 0] == 0:
            continue
        if present == 0:
            found = _closes(number, fewest, room, everyone, cations, anions, states_ZS, electronegativity_Z)
        else:
            others = _ordered(counts_Z, number, electronegativity_Z)
            plus = _reach(counts_Z, others, 1, states_ZS, most)
            minus = _reach(counts_Z, others[::-1], -1, states_ZS, most)
            found = _closes(number, fewest, room, others, plus, minus, states_ZS, electronegativity_Z)
        if found:
            return True
    return False


@njit(cache=True)
def _next_atoms(
    counts_Z: Ints,
    lower_Z: Ints,
    upper_Z: Ints,
    least: int,
    most: int,
    states_ZS: Ints,
    electronegativity_Z: NDArray[np.float64],
    closers: Ints,
) -> NDArray[np.bool_]:
    allowed_Z = np.zeros(len(counts_Z), dtype=np.bool_)
    for number in range(1, len(counts_Z)):
        wanted_Z = np.maximum(counts_Z, lower_Z)
        wanted_Z[number] = max(wanted_Z[number], counts_Z[number] + 1)
        allowed_Z[number] = _completable(wanted_Z, upper_Z, least, most, states_ZS, electronegativity_Z, closers)
    return allowed_Z
