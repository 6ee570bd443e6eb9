"""Validity of generated crystals: structural and compositional, as CDVAE defines them, and the metric that details both.

Structural: the smallest periodic distance, an atom's own images included, is at least 0.5 angstrom and the cell volume at
least 0.1 cubic angstrom. Compositional: single elements and all-metal alloys are valid; else SMACT finds oxidation states
that add up to zero and agree with the Pauling electronegativities. Source: Xie et al., arXiv 2110.06197, and its code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Metric, Sample
from crystalfw.core.workbench import TimeLimitExceeded, Workbench, time_limit
from crystalfw.plugins.metrics.geometry import reduced_composition, share

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


def compositional_problems(bench: Workbench, crystals: Sequence[Crystal], oxidation_set: str, limit: float) -> list[str]:
    """Why each crystal is compositionally invalid; empty where it is valid. Each composition is tested once."""
    if oxidation_set not in OXIDATION_SETS:
        raise DataError(f"no oxidation-state set called '{oxidation_set}'; SMACT has {', '.join(OXIDATION_SETS)}")
    compositions = [reduced_composition(crystal) for crystal in crystals]
    items = [(composition, oxidation_set, limit) for composition in compositions]
    return bench.map("compositions", _compositional_problem, items, [f"smact-1:{item}" for item in items])


def _compositional_problem(item: tuple[tuple[tuple[int, int], ...], str, float]) -> str:
    from pymatgen.core import Element
    from smact.screening import smact_validity

    composition, oxidation_set, limit = item
    counts = {Element.from_Z(number).symbol: count for number, count in composition}
    if len(counts) == 1:
        return ""
    formula = "".join(f"{symbol}{count}" for symbol, count in counts.items())
    try:
        with time_limit(limit):
            return "" if smact_validity(formula, oxidation_states_set=oxidation_set) else "no neutral oxidation states"
    except TimeLimitExceeded:
        return "SMACT ran out of time"
    except (TypeError, ValueError, KeyError) as error:
        # elements without oxidation states, noble gases among them, crash older versions; newer ones call them invalid
        return f"SMACT failed: {type(error).__name__}"


class Validity(Metric):
    """Structural and compositional validity, each alone over all samples, with the reasons of what is invalid."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        oxidation_set: str = "smact14"
        """SMACT's oxidation states: smact14 (what CDVAE's figures were made with), icsd16, icsd24 or wiki."""
        time_limit: float = 20.0
        """Seconds per composition."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: Mapping[str, Any]) -> dict[str, Any]:
        """Shares of all samples, and of the reference by the same ruler."""
        crystals = [sample.crystal for sample in samples if sample.crystal is not None]
        result = {"samples": self._judge(crystals, len(samples), context["bench"])}
        if reference:
            result["reference"] = self._judge(reference, len(reference), context["bench"])
        return {**result, "protocol": protocol(self.config.oxidation_set)}

    def _judge(self, crystals: Sequence[Crystal], total: int, bench: Workbench) -> dict[str, Any]:
        structural = [structural_problem(crystal) for crystal in crystals]
        compositional = compositional_problems(bench, crystals, self.config.oxidation_set, self.config.time_limit)
        both = sum(not (one or other) for one, other in zip(structural, compositional, strict=True))
        return {
            "structural": share(structural.count(""), total),
            "compositional": share(compositional.count(""), total),
            "both": share(both, total),
            "reasons": dict(Counter(filter(None, [*structural, *compositional])).most_common()),
        }


def protocol(oxidation_set: str) -> dict[str, Any]:
    """What validity means here."""
    return {
        "structural": f"smallest periodic distance >= {MIN_DISTANCE} angstrom, volume >= {MIN_VOLUME} cubic angstrom (CDVAE)",
        "compositional": f"SMACT charge neutrality with the Pauling test; elements and alloys valid; set {oxidation_set}",
    }
