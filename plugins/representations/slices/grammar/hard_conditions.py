"""Hard conditions that a user may set on every string: read, checked, and turned into bounds and rules on atoms.

Shapes: Z atomic numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import ConditionError, did_you_mean
from crystalfw.plugins.representations.slices.grammar.charge_balance import balanced, is_neutral
from crystalfw.plugins.representations.slices.text.dialects import ELEMENTS

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
        """True if a cell of these atoms obeys it."""

    def completable(self, counts_Z: Counts, most: int) -> bool:
        """True if adding atoms, up to `most` in all, can make it hold."""

    def next_atoms(self, counts_Z: Counts, most: int) -> NDArray[np.bool_]:
        """(Z,) True where one more atom of the element, bounds permitting, leaves it completable."""


@dataclass(frozen=True, kw_only=True)
class HardConditions:
    """The conditions of one string."""

    text: str
    """The user's text, for messages."""
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
        """The minimum number of atoms of a cell that meets the conditions; most + 1 if no cell of at most `most` atoms does."""
        total = max(self.least, int(self.lower.sum()), 1)
        if self.rule is not None and total <= most and not self.rule.completable(self.base, most):
            return most + 1
        return total


def read_conditions(asked: Mapping[str, Any], ids: Mapping[str, int], max_atoms: int) -> HardConditions:
    """Check the conditions of one string; raises ConditionError naming the one that is unknown or cannot be met."""
    for name in asked:
        if name not in CONDITIONS:
            raise ConditionError(f"no hard condition called '{name}'. {did_you_mean(name, CONDITIONS, 'There are')}")
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
    rule: Rule | None = None
    neutral = _flag(asked.get("charge_balanced", False), text)
    if "composition" in asked:
        counts_Z = _counts(asked["composition"], text)
        lower_Z, upper_Z = np.maximum(lower_Z, counts_Z), np.minimum(upper_Z, counts_Z)
    if "formula" in asked:
        counts_Z = _counts(asked["formula"], text)
        upper_Z[counts_Z == 0] = 0
        rule = Multiple(counts_Z // np.gcd.reduce(counts_Z[counts_Z > 0]), least)
    clash = np.flatnonzero(lower_Z > upper_Z)
    if len(clash):
        raise ConditionError(f"{text}: these ask for {ELEMENTS[clash[0] - 1]} and exclude it")
    if int(np.minimum(upper_Z, UNBOUNDED).astype(np.int64).sum()) < least:
        raise ConditionError(f"{text}: these allow fewer than {least} atoms")
    if int(lower_Z.sum()) > most:
        raise ConditionError(f"{text}: {int(lower_Z.sum())} atoms are required, but at most {most} are allowed")
    for name in ("composition", "formula"):
        # Charges scale with the number of formula units, so a fixed composition is neutral for every number or for none.
        if neutral and name in asked and not is_neutral(_counts(asked[name], text)):
            raise ConditionError(f"{text}: no oxidation states make {asked[name]} neutral; leave out charge_balanced")
    if neutral and not {"composition", "formula"} & set(asked):
        rule = balanced(lower_Z, upper_Z, least)
    return HardConditions(
        text=text,
        lower=lower_Z,
        upper=upper_Z,
        least=least,
        most=most,
        prefix=_tokens(asked.get("prefix", ""), ids, text),
        rule=rule,
    )


class Multiple:
    """The cell holds a whole number of formula units."""

    def __init__(self, unit_Z: Counts, least: int) -> None:
        self.unit_Z, self.size, self.elements = unit_Z, int(unit_Z.sum()), np.flatnonzero(unit_Z)
        self.fewest_units = -(-least // self.size)

    def _units(self, counts_Z: Counts) -> int:
        return int(max(self.fewest_units, np.ceil(counts_Z[self.elements] / self.unit_Z[self.elements]).max()))

    def holds(self, counts_Z: Counts) -> bool:
        """True if the counts are a multiple of the unit."""
        return bool((counts_Z == self._units(counts_Z) * self.unit_Z).all())

    def completable(self, counts_Z: Counts, most: int) -> bool:
        """True if the next whole number of units fits."""
        return self._units(counts_Z) * self.size <= most

    def next_atoms(self, counts_Z: Counts, most: int) -> NDArray[np.bool_]:
        """(Z,) True for elements of the unit of which one more atom fits."""
        allowed_Z = np.zeros(len(counts_Z), dtype=bool)
        for number in self.elements:
            more_Z = counts_Z.copy()
            more_Z[number] += 1
            allowed_Z[number] = self.completable(more_Z, most)
        return allowed_Z


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
