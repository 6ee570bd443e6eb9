"""When a generated crystal is valid: in structure and in composition, as CDVAE defines it.

Structural: the smallest periodic distance, an atom's own images included, is at least 0.5 angstrom and the cell volume at
least 0.1 cubic angstrom. Compositional: single elements and all-metal alloys are valid; else SMACT finds oxidation states
that add up to zero and agree with the Pauling electronegativities. Source: Xie et al., arXiv 2110.06197, and its code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError

MIN_DISTANCE = 0.5
"""Angstrom."""
MIN_VOLUME = 0.1
"""Cubic angstrom."""
OXIDATION_SETS = ("smact14", "icsd16", "icsd24", "wiki")


def shortest_distance(crystal: Crystal, cutoff: float) -> float:
    """Smallest periodic distance in angstrom, own images included; infinite where none is below `cutoff`."""
    from vesin import NeighborList

    neighbours = NeighborList(cutoff=cutoff, full_list=False)
    (distances,) = neighbours.compute(points=crystal.cart_coords, box=crystal.lattice, periodic=True, quantities="d")
    return float(np.min(distances, initial=np.inf))


def structural_problem(crystal: Crystal) -> str:
    """Why a crystal is structurally invalid; empty where it is valid."""
    finite = np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()
    if not finite:
        return "coordinates that are not numbers"
    if crystal.volume < MIN_VOLUME:
        return f"cell volume below {MIN_VOLUME} cubic angstrom"
    if shortest_distance(crystal, MIN_DISTANCE) < MIN_DISTANCE:
        return f"atoms closer than {MIN_DISTANCE} angstrom"
    return ""


def check_oxidation_set(name: str) -> None:
    """Raise DataError for an unknown set."""
    if name not in OXIDATION_SETS:
        raise DataError(f"no oxidation-state set called '{name}'; SMACT has {', '.join(OXIDATION_SETS)}")


@lru_cache(maxsize=100_000)
def compositional_problem(composition: tuple[tuple[int, int], ...], oxidation_set: str) -> str:
    """Why a reduced composition is invalid; empty where it is valid.

    SMACT's rule with SMACT's data, but not its enumeration of all combinations of states, which takes minutes for eight
    elements: cations must be less electronegative than anions, so for each electronegativity that can divide them the
    sums of charges that can be reached are collected element by element.
    """
    elements = [_element(number, oxidation_set) for number, _ in composition]
    if len(elements) == 1 or all(element.metal for element in elements):
        return ""
    for element in elements:
        # noble gases, mostly: older SMACT versions crash here, newer ones say invalid
        if not element.states or element.electronegativity is None:
            return f"no oxidation states or electronegativity of {element.symbol}"
    counts = [count for _, count in composition]
    cuts = {element.electronegativity for element in elements if element.electronegativity is not None}
    neutral = any(_can_be_neutral(elements, counts, cut) for cut in cuts)
    return "" if neutral else "no neutral oxidation states"


def _can_be_neutral(elements: Sequence[_Element], counts: Sequence[int], cut: float) -> bool:
    """Can charges add up to zero where elements up to `cut` are cations (or neutral) and those above anions?"""
    sums = {0}
    for element, count in zip(elements, counts, strict=True):
        assert element.electronegativity is not None
        sign = 1 if element.electronegativity <= cut else -1
        allowed = [state * count for state in element.states if state * sign >= 0]
        sums = {total + charge for total in sums for charge in allowed}
    return 0 in sums


@dataclass(frozen=True)
class _Element:
    """What SMACT knows of an element."""

    symbol: str
    metal: bool
    electronegativity: float | None
    states: tuple[int, ...]


@lru_cache(maxsize=1000)
def _element(number: int, oxidation_set: str) -> _Element:
    import smact
    from pymatgen.core import Element

    symbol = str(Element.from_Z(number).symbol)
    try:
        known = smact.Element(symbol)
    except NameError:  # beyond SMACT's table
        return _Element(symbol, False, None, ())
    states = getattr(known, f"oxidation_states_{oxidation_set}") or ()
    return _Element(symbol, symbol in smact.metals, known.pauling_eneg, tuple(int(state) for state in states))


def protocol(oxidation_set: str) -> dict[str, Any]:
    """What validity means here."""
    return {
        "structural": f"smallest periodic distance >= {MIN_DISTANCE} angstrom, volume >= {MIN_VOLUME} cubic angstrom (CDVAE)",
        "compositional": f"SMACT charge neutrality with the Pauling test; elements and alloys valid; set {oxidation_set}",
    }
