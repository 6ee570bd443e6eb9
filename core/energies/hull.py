"""Energy above the convex hull of known energies, and what a crystal would decompose into, by pymatgen's PhaseDiagram.

Source: Ong et al., Chem. Mater. 20, 1798 (2008), for the construction.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.energies.references import Reference

ON_HULL = 1e-6
"""eV per atom up to which a crystal counts as on the hull."""


@dataclass(frozen=True)
class Height:
    """Where one crystal lies."""

    above: float = np.nan
    """eV per atom above the hull; negative where it lies below all that is known; NaN where that cannot be said."""
    decomposition: str = ""
    """`0.50 NaCl (mp-22862) + 0.50 Na (mp-127)`, shares of atoms."""
    reason: str = ""
    """Why there is no height."""


class Hull:
    """The hull of known energies, one phase diagram for each chemical system that is asked about."""

    def __init__(self, entries: Iterable[Reference], *, elements_are_zero: bool = False) -> None:
        self._by_system: dict[frozenset[int], list[Reference]] = defaultdict(list)
        for entry in entries:
            self._by_system[entry.elements].append(entry)
        self._elements_are_zero = elements_are_zero
        self._diagrams: dict[frozenset[int], Any] = {}

    def height(self, amounts: Sequence[tuple[int, float]], energy: float) -> Height:
        """Of a crystal made of (atomic number, share), with an energy in eV per atom of the same kind as the entries'."""
        system = frozenset(number for number, _ in amounts)
        if missing := self.missing(system):
            return Height(reason=f"no known energy of the element {', '.join(missing)}")
        if not np.isfinite(energy):
            return Height(reason="no energy")
        composition = _composition(amounts)
        diagram = self._diagram(system)
        parts = diagram.get_decomposition(composition)
        ordered = sorted(parts.items(), key=lambda part: (-part[1], str(part[0].attribute)))
        words = [f"{share:.2f} {_formula(entry.composition)} ({entry.attribute})" for entry, share in ordered]
        return Height(float(energy - diagram.get_hull_energy_per_atom(composition)), " + ".join(words))

    def left_out(self, entry: Reference) -> Height:
        """An entry above the hull of the others, all entries of its composition left out."""
        others = [one for one in self.members(entry.elements) if one.amounts != entry.amounts]
        return Hull(others, elements_are_zero=self._elements_are_zero).height(entry.amounts, entry.energy)

    def missing(self, system: frozenset[int]) -> list[str]:
        """Symbols of elements without an entry of their own, without which there is no hull."""
        from pymatgen.core import Element

        if self._elements_are_zero:
            return []
        return [Element.from_Z(z).symbol for z in sorted(system) if frozenset([z]) not in self._by_system]

    def members(self, system: frozenset[int]) -> list[Reference]:
        """The entries that a system's hull is made of."""
        subsets = (frozenset(some) for size in range(1, len(system) + 1) for some in combinations(sorted(system), size))
        return [entry for some in subsets for entry in self._by_system.get(some, ())]

    def _diagram(self, system: frozenset[int]) -> Any:
        from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

        if system not in self._diagrams:
            entries = [PDEntry(_composition(e.amounts), e.energy, attribute=e.id) for e in self.members(system)]
            if self._elements_are_zero:  # by definition of a formation energy
                entries += [PDEntry(_composition([(z, 1.0)]), 0.0, attribute="element") for z in sorted(system)]
            self._diagrams[system] = PhaseDiagram(entries)
        return self._diagrams[system]


def _formula(composition: Any) -> str:
    """CuAu for Cu0.5Au0.5."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen sorts by electronegativity and warns that noble gases have none
        return str(composition.get_integer_formula_and_factor(max_denominator=1000)[0])


def _composition(amounts: Sequence[tuple[int, float]]) -> Any:
    from pymatgen.core import Composition, Element

    return Composition({Element.from_Z(number): share for number, share in amounts})


def depths(hull: Hull, entries: Iterable[Reference]) -> NDArray[np.float64]:
    """eV per atom by which compounds of the table lie above the hull of the rest when they are left out; NaN where an
    element is missing. Far below zero: the table lacks competing phases, and new crystals will seem too stable likewise."""
    return np.array([hull.left_out(entry).above for entry in entries if len(entry.amounts) > 1])
