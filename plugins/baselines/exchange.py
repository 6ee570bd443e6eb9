"""Baseline `exchange`: ions of known crystals exchanged for others, as likely as pymatgen's table says.

The table of substitution probabilities is the one that pymatgen's Substitutor uses (Hautier et al., Inorg. Chem. 50, 656,
2011). What differs from Substitutor: that lists every combination of ions above a probability, at any charges that balance,
and filters by them; it says nothing about a volume and takes up to a second for each crystal. Here every ion is exchanged on
its own for one of equal charge, drawn in proportion to the same probabilities, so that a neutral crystal stays neutral, and
the cell is scaled by the elements' volumes. A question is answered with the known crystal whose exchange is likeliest.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Sample, Wanted
from crystalfw.core.recipe.schema import Bounds, Count
from crystalfw.core.system.time_limit import TimeLimitExceeded, time_limit
from crystalfw.plugins.baselines.shared.families import MAX_Z, Answering, Costs, Exchanger, Families
from crystalfw.plugins.baselines.shared.needed import require

_NEVER = 60.0
"""Cost of an exchange that the table does not know."""


class Exchange(Answering):
    """Ionic exchange: of a random training crystal where nothing is asked for, of the likeliest one for a composition."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `exchange`."""

        free: bool = False
        """Draw crystals and ions at random even where a composition is asked for."""
        tries: Count = 20
        """Training crystals that are tried for one sample before it counts as failed."""
        time_limit: Annotated[float, Bounds(0.01)] = 20.0
        """Seconds for the charges of one composition; a crystal that takes longer is passed over (few take a second)."""

    def samples(
        self, wanted: Sequence[Wanted], train: Sequence[Crystal], *, seed: int = 0, say: Callable[[str], None] = print
    ) -> Iterator[Sample]:
        """Raises DataError without training crystals."""
        require(train, "exchange")
        exchanger = Exchanger(train)
        if self.free:
            rng = np.random.default_rng(seed)
            for one in wanted:
                yield self._drawn(one, train, exchanger, rng)
            return
        yield from self.answered(wanted, Families(train), exchanger, exchange_costs())

    def _drawn(self, one: Wanted, train: Sequence[Crystal], exchanger: Exchanger, rng: np.random.Generator) -> Sample:
        """A random crystal with its ions exchanged, at least one of them for another element."""
        for _ in range(self.config.tries):
            crystal = train[int(rng.integers(len(train)))]
            ions = ions_of(crystal.formula, self.config.time_limit)
            exchange = {number: _draw(number, charge, rng) for number, charge in ions}
            changed = any(old != new for old, new in exchange.items())
            if ions and changed and len(set(exchange.values())) == len(exchange):
                return one.made(exchanger(crystal, exchange))
        return one.failed(f"none of {self.config.tries} training crystals drawn has ions that the table can exchange")


@cache
def _table() -> Any:
    from pymatgen.analysis.structure_prediction.substitution_probability import SubstitutionProbability

    return SubstitutionProbability()


@cache
def _ions() -> dict[int, list[tuple[int, Any]]]:
    """Charge -> (atomic number, ion) of every ion in the table."""
    found: dict[int, list[tuple[int, Any]]] = {}
    for ion in sorted((one for one in _table().species if hasattr(one, "oxi_state")), key=lambda ion: (ion.Z, ion.oxi_state)):
        if ion.oxi_state and float(ion.oxi_state).is_integer():
            found.setdefault(int(ion.oxi_state), []).append((int(ion.Z), ion))
    return found


@cache
def _choices(number: int, charge: int) -> tuple[list[int], Any]:
    """Elements that may stand for an ion at its charge, and their probabilities; the ion alone where the table lacks it."""
    ions = _ions().get(charge, [])
    old = next((ion for z, ion in ions if z == number), None)
    if old is None:
        return [number], np.ones(1)
    weights = np.exp([_table().get_lambda(ion, old) for _, ion in ions])
    return [z for z, _ in ions], weights / weights.sum()


def _draw(number: int, charge: int, rng: np.random.Generator) -> int:
    elements, shares = _choices(number, charge)
    return int(elements[int(rng.choice(len(elements), p=shares))])


@cache
def ions_of(formula: str, limit: float) -> tuple[tuple[int, int], ...]:
    """(atomic number, charge) of a formula's elements by pymatgen's likeliest guess; empty where no charges balance."""
    from pymatgen.core import Composition, Element

    composition = Composition(formula)
    try:
        with warnings.catch_warnings(), time_limit(limit):
            warnings.simplefilter("ignore")
            guesses = composition.oxi_state_guesses(max_sites=-1)
    except TimeLimitExceeded:
        return ()
    if not guesses or any(not charge or charge % 1 for charge in guesses[0].values()):
        return ()
    return tuple(sorted((int(Element(symbol).Z), int(charge)) for symbol, charge in guesses[0].items()))


@cache
def exchange_costs() -> Costs:
    """(Z, Z) minus the logarithm of the largest probability weight over the charges that both elements can have."""
    costs = np.full((MAX_Z, MAX_Z), _NEVER)
    np.fill_diagonal(costs, 0.0)
    for ions in _ions().values():
        for old, old_ion in ions:
            for new, new_ion in ions:
                if old != new:
                    costs[old, new] = min(costs[old, new], 10.0 - float(_table().get_lambda(new_ion, old_ion)))
    return costs
