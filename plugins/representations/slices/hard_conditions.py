"""Hard conditions: what a user may demand of every string, read, checked, and turned into bounds and rules on atoms.

Shapes: Z atomic numbers.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import ConditionError
from crystalfw.plugins.representations.slices.dialects import ELEMENTS

N_NUMBERS = len(ELEMENTS) + 1
UNBOUNDED = 10_000
Counts = NDArray[np.int16]

CONDITIONS = {
    "composition": "atoms of the cell, exactly: {Sr: 1, Ti: 1, O: 3} or Sr1Ti1O3",
    "formula": "reduced formula; any multiple of it fills the cell",
    "allowed_elements": "no other element",
    "required_elements": "at least one atom of each",
    "forbidden_elements": "no atom of these",
    "n_atoms": "number of atoms in the cell: 8, or [4, 12]",
    "charge_balanced": "true: neutral with one oxidation state per element (SMACT, set smact14), Pauling's test included",
    "prefix": "the string begins with these tokens; write its rest",
}
"""Every hard condition by name."""


class Rule(Protocol):
    """A law on the counts of atoms that bounds per element cannot express."""

    def holds(self, counts_Z: Counts) -> bool:
        """True where a cell of these atoms obeys it."""

    def completable(self, counts_Z: Counts, most: int) -> bool:
        """True where adding atoms, up to `most` in all, can make it hold."""


@dataclass(frozen=True, kw_only=True)
class HardConditions:
    """The conditions of one string."""

    text: str
    """As the user wrote them, for messages."""
    lower: Counts
    """(Z,) fewest atoms of each element."""
    upper: Counts
    """(Z,) most atoms of each element."""
    least: int = 1
    most: int = UNBOUNDED
    prefix: tuple[int, ...] = ()
    rule: Rule | None = None
    base: Counts = field(default_factory=lambda: np.zeros(N_NUMBERS, dtype=np.int16))

    def fewest(self, most: int) -> int:
        """The fewest atoms of a cell that meets the conditions, most + 1 where none of at most `most` atoms does."""
        total = max(self.least, int(self.lower.sum()), 1)
        if self.rule is not None and total <= most and not self.rule.completable(self.base, most):
            return most + 1
        return total


def read_conditions(asked: Mapping[str, Any], ids: Mapping[str, int], max_atoms: int) -> HardConditions:
    """Check the conditions of one string; raises ConditionError naming the one that is unknown or cannot be met."""
    for name in asked:
        if name not in CONDITIONS:
            near = difflib.get_close_matches(name, CONDITIONS, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else f"There are {', '.join(CONDITIONS)}."
            raise ConditionError(f"no hard condition called '{name}'. {hint}")
    text = ", ".join(f"{name}={value}" for name, value in asked.items())
    lower_Z, upper_Z = np.zeros(N_NUMBERS, dtype=np.int16), np.full(N_NUMBERS, UNBOUNDED, dtype=np.int16)
    upper_Z[0] = 0
    if "allowed_elements" in asked:
        numbers = _numbers(asked["allowed_elements"], text)
        upper_Z[[z for z in range(N_NUMBERS) if z not in numbers]] = 0
    if "forbidden_elements" in asked:
        upper_Z[_numbers(asked["forbidden_elements"], text)] = 0
    if "required_elements" in asked:
        lower_Z[_numbers(asked["required_elements"], text)] = 1
    least, most = _range(asked["n_atoms"], text) if "n_atoms" in asked else (1, max_atoms)
    rules: list[Rule] = []
    if "composition" in asked:
        counts_Z = _counts(asked["composition"], text)
        lower_Z, upper_Z = np.maximum(lower_Z, counts_Z), np.minimum(upper_Z, counts_Z)
    if "formula" in asked:
        counts_Z = _counts(asked["formula"], text)
        upper_Z[counts_Z == 0] = 0
        rules.append(Multiple(counts_Z // np.gcd.reduce(counts_Z[counts_Z > 0]), least))
    if _flag(asked.get("charge_balanced", False), text):
        rules.append(Balanced(lower_Z, upper_Z, least))
    if len(rules) > 1:
        raise ConditionError(f"{text}: give a composition instead of a formula where charge balance is asked for")
    clash = np.flatnonzero(lower_Z > upper_Z)
    if len(clash):
        raise ConditionError(f"{text}: these ask for {ELEMENTS[clash[0] - 1]} and exclude it")
    if int(np.minimum(upper_Z, UNBOUNDED).astype(np.int64).sum()) < least:
        raise ConditionError(f"{text}: these allow fewer than {least} atoms")
    if int(lower_Z.sum()) > most:
        raise ConditionError(f"{text}: {int(lower_Z.sum())} atoms are asked for where at most {most} are allowed")
    return HardConditions(
        text=text,
        lower=lower_Z,
        upper=upper_Z,
        least=least,
        most=most,
        prefix=_tokens(asked.get("prefix", ""), ids, text),
        rule=rules[0] if rules else None,
    )


class Multiple:
    """The cell holds a whole number of formula units."""

    def __init__(self, unit_Z: Counts, least: int) -> None:
        self.unit_Z, self.size, self.elements = unit_Z, int(unit_Z.sum()), np.flatnonzero(unit_Z)
        self.fewest_units = -(-least // self.size)

    def _units(self, counts_Z: Counts) -> int:
        return int(max(self.fewest_units, np.ceil(counts_Z[self.elements] / self.unit_Z[self.elements]).max()))

    def holds(self, counts_Z: Counts) -> bool:
        """True where the counts are a multiple of the unit."""
        return bool((counts_Z == self._units(counts_Z) * self.unit_Z).all())

    def completable(self, counts_Z: Counts, most: int) -> bool:
        """True where the next whole number of units fits."""
        return self._units(counts_Z) * self.size <= most


class Balanced:
    """Charges add up to zero with one oxidation state per element, every cation less electronegative than every anion.

    The test of SMACT (charge neutrality and Pauling's) without its exemption of metals. A completion adds atoms of one
    element only (two to an empty list): some balanced compositions near the limit of atoms are thereby excluded, none that
    is not balanced is let through.
    """

    def __init__(self, lower_Z: Counts, upper_Z: Counts, least: int) -> None:
        self.lower_Z, self.upper_Z, self.least = lower_Z.astype(np.int64), upper_Z.astype(np.int64), least
        self._known: dict[tuple[bytes, int], bool] = {}

    def holds(self, counts_Z: Counts) -> bool:
        """True where the atoms can be neutral."""
        charges = _Charges(counts_Z)
        return any(charges.cations[cut] & charges.anions[cut] for cut in charges.cuts)

    def completable(self, counts_Z: Counts, most: int) -> bool:
        """True where atoms of one element make the cell neutral, what is required included."""
        key = counts_Z.tobytes(), most
        if key not in self._known:
            wanted_Z = np.maximum(counts_Z, self.lower_Z)
            starts = [wanted_Z] if wanted_Z.any() else [one for one in np.eye(N_NUMBERS, dtype=np.int64) if self._usable(one)]
            self._known[key] = any(self._search(start, most) for start in starts)
        return self._known[key]

    def _usable(self, counts_Z: NDArray[np.int64]) -> bool:
        return all(_ions()[z].states for z in np.flatnonzero(counts_Z).tolist()) and bool((counts_Z <= self.upper_Z).all())

    def _search(self, counts_Z: NDArray[np.int64], most: int) -> bool:
        n = int(counts_Z.sum())
        if n > most or not self._usable(counts_Z):
            return False
        if n >= self.least and self.holds(counts_Z):
            return True
        fewest = max(1, self.least - n)
        everyone = _Charges(counts_Z)
        for number in _CLOSERS:
            room = min(most - n, int(self.upper_Z[number] - counts_Z[number]))
            present = int(counts_Z[number])
            if room >= fewest and _ions()[number].states:
                others = _Charges(counts_Z, without=number) if present else everyone
                if others.closed_by(number, range(present + fewest, present + room + 1)):
                    return True
        return False


_CLOSERS = sorted(range(1, N_NUMBERS), key=lambda number: (ELEMENTS[number - 1] not in ("H", "O", "F", "Na"), number))
"""Atomic numbers in the order in which they are tried: first those that close most compositions."""


class _Charges:
    """What charges the atoms of some elements can carry, for every way to part cations from anions.

    Elements stand in the order of electronegativity; a cut makes those before it cations, the others anions. Charges are
    bits of an integer: bit q of `cations[cut]` is set where the cations can carry +q, of `anions[cut]` where the anions
    can carry -q; neutral where both share a bit.
    """

    def __init__(self, counts_Z: NDArray[Any], without: int = 0) -> None:
        numbers = [number for number in np.flatnonzero(counts_Z).tolist() if number != without]
        ordered = sorted((_ions()[number].electronegativity, number, int(counts_Z[number])) for number in numbers)
        self.electronegativity = [item[0] for item in ordered]
        self.cations, self.anions = [1], [1]
        for _, number, count in ordered:
            self.cations.append(_union(self.cations[-1] << count * state for state in _ions()[number].states if state > 0))
        for _, number, count in ordered[::-1]:
            self.anions.append(_union(self.anions[-1] << -count * state for state in _ions()[number].states if state < 0))
        self.anions.reverse()
        # No cut between equal electronegativities.
        values = self.electronegativity
        self.cuts = [cut for cut in range(len(values) + 1) if not 0 < cut < len(values) or values[cut - 1] < values[cut]]

    def closed_by(self, number: int, amounts: range) -> bool:
        """True where one of these amounts of one more element makes all neutral."""
        ion, values = _ions()[number], self.electronegativity
        for cut in self.cuts:
            cations, anions = self.cations[cut], self.anions[cut]
            if not cations or not anions:
                continue
            as_cation = cut == len(values) or ion.electronegativity < values[cut]
            as_anion = cut == 0 or ion.electronegativity > values[cut - 1]
            for state in ion.states:
                if state > 0 and as_cation and any(cations << amount * state & anions for amount in amounts):
                    return True
                if state < 0 and as_anion and any(anions << -amount * state & cations for amount in amounts):
                    return True
        return False


@dataclass(frozen=True)
class Ion:
    """What an element can be in an ionic crystal."""

    states: tuple[int, ...]
    """Oxidation states other than 0 in SMACT's set smact14; empty where it has none, or no electronegativity."""
    electronegativity: float
    """Pauling's."""


@cache
def _ions() -> tuple[Ion, ...]:
    """(Z,) the ions of each element."""
    from smact import Element

    found = [Ion((), 0.0)]
    for symbol in ELEMENTS:
        element = Element(symbol)
        known = element.pauling_eneg is not None and element.oxidation_states_smact14
        states = sorted({int(state) for state in element.oxidation_states_smact14 if state != 0}) if known else []
        found.append(Ion(tuple(states), float(element.pauling_eneg or 0.0)))
    return tuple(found)


def _union(bits: Iterable[int]) -> int:
    result = 0
    for item in bits:
        result |= item
    return result


def _counts(value: Any, text: str) -> Counts:
    from pymatgen.core import Composition

    try:
        amounts = dict(value) if isinstance(value, Mapping) else Composition(str(value)).get_el_amt_dict()
    except ValueError as error:
        raise ConditionError(f"{text}: not a composition ({error})") from error
    counts_Z = np.zeros(N_NUMBERS, dtype=np.int16)
    for symbol, amount in amounts.items():
        if amount != int(amount) or amount < 1:
            raise ConditionError(f"{text}: {amount} atoms of {symbol}; whole numbers are needed")
        counts_Z[_numbers([symbol], text)] = int(amount)
    if not counts_Z.any():
        raise ConditionError(f"{text}: an empty composition")
    return counts_Z


def _numbers(symbols: Any, text: str) -> list[int]:
    """Atomic numbers of symbols: a list, or words in one string."""
    words = symbols.replace(",", " ").split() if isinstance(symbols, str) else list(symbols)
    for word in words:
        if word not in ELEMENTS:
            raise ConditionError(f"{text}: '{word}' is not an element symbol")
    return [ELEMENTS.index(word) + 1 for word in words]


def _range(value: Any, text: str) -> tuple[int, int]:
    ends = value if isinstance(value, (list, tuple)) else [value, value]
    if len(ends) != 2 or any(isinstance(end, bool) or not isinstance(end, int) for end in ends) or not 1 <= ends[0] <= ends[1]:
        raise ConditionError(f"{text}: n_atoms must be a whole number, or [fewest, most]")
    return ends[0], ends[1]


def _flag(value: Any, text: str) -> bool:
    if not isinstance(value, bool):
        raise ConditionError(f"{text}: charge_balanced must be true or false")
    return value


def _tokens(prefix: Any, ids: Mapping[str, int], text: str) -> tuple[int, ...]:
    words = str(prefix).split()
    for word in words:
        if word not in ids or word.startswith("<"):
            raise ConditionError(f"{text}: '{word}' is not a token of the strings")
    return tuple(ids[word] for word in words)
