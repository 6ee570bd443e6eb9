"""How far the samples' distributions are from the reference's: Wasserstein distances, and histograms for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Metric, Sample
from crystalfw.plugins.metrics.validity import compositional_problems, structural_problem

QUANTITIES = {
    "density": "g/cm3",
    "elements": "distinct elements",
    "atoms": "atoms per cell",
    "volume_per_atom": "cubic angstrom",
}
_GRAM_PER_DALTON, _CUBIC_CM_PER_CUBIC_ANGSTROM = 1.66053906892e-24, 1e-24


def quantities(crystal: Crystal) -> dict[str, float]:
    """The crystal's value of every quantity."""
    from pymatgen.core import Element

    mass = sum(float(Element.from_Z(number).atomic_mass) for number in crystal.numbers.tolist())
    return {
        "density": mass * _GRAM_PER_DALTON / (crystal.volume * _CUBIC_CM_PER_CUBIC_ANGSTROM),
        "elements": float(len(np.unique(crystal.numbers))),
        "atoms": float(crystal.n_atoms),
        "volume_per_atom": crystal.volume / crystal.n_atoms,
    }


class Distributions(Metric):
    """Wasserstein distances of density, number of elements, atoms and volume per atom; element frequencies."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        population: str = "valid"
        """`valid`: structurally and compositionally valid samples (CDVAE, DiffCSP); `decoded`: all that are crystals."""
        oxidation_set: str = "smact14"
        """SMACT's oxidation states for `valid`."""
        bins: int = 30
        """Bins of the histograms in the report."""

    def __init__(self, config: Config) -> None:
        if config.population not in ("valid", "decoded"):
            raise DataError(f"distributions: population is 'valid' or 'decoded', not '{config.population}'")
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: Mapping[str, Any]) -> dict[str, Any]:
        """Distances are None where one side is empty."""
        crystals = self._population(samples, context)
        ours, theirs = _table(crystals), _table(reference)
        result: dict[str, Any] = {"asked": len(samples), "samples": len(crystals), "reference": len(reference)}
        result["distances"] = {name: _wasserstein(ours[name], theirs[name]) for name in QUANTITIES}
        result["histograms"] = {name: self._histogram(name, ours[name], theirs[name]) for name in QUANTITIES}
        result["elements"] = {"samples": _element_shares(crystals), "reference": _element_shares(reference)}
        result["protocol"] = {"population": self.config.population, "units": QUANTITIES, "distance": "Wasserstein-1"}
        known = {name: distance for name, distance in result["distances"].items() if distance is not None}
        result["summary"] = [f"Wasserstein {name}: {distance:.3f} ({QUANTITIES[name]})" for name, distance in known.items()]
        return result

    def _population(self, samples: Sequence[Sample], context: Mapping[str, Any]) -> list[Crystal]:
        crystals = [sample.crystal for sample in samples if sample.status == "ok" and sample.crystal is not None]
        crystals = [crystal for crystal in crystals if not structural_problem(crystal)]
        if self.config.population == "decoded":
            return crystals
        problems = compositional_problems(crystals, self.config.oxidation_set)
        return [crystal for crystal, problem in zip(crystals, problems, strict=True) if not problem]

    def _histogram(self, name: str, ours: FloatArray, theirs: FloatArray) -> dict[str, Any]:
        """Shares per bin; bins span the middle 99 % of both sides, what lies outside is in the outer bins."""
        both = np.concatenate([ours, theirs])
        if not len(both):
            return {"edges": [], "samples": [], "reference": []}
        if name in ("elements", "atoms"):
            edges = np.arange(both.min() - 0.5, both.max() + 1.5)
        else:
            low, high = np.quantile(both, [0.005, 0.995])
            edges = np.linspace(low, high if high > low else low + 1, self.config.bins + 1)
        sides = {"samples": ours, "reference": theirs}
        counts = {side: np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for side, values in sides.items()}
        shares = {side: (count / max(count.sum(), 1)).round(6).tolist() for side, count in counts.items()}
        return {"edges": edges.round(6).tolist(), **shares}


def _table(crystals: Sequence[Crystal]) -> dict[str, FloatArray]:
    rows = [quantities(crystal) for crystal in crystals]
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in QUANTITIES}


def _wasserstein(ours: FloatArray, theirs: FloatArray) -> float | None:
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(ours, theirs)) if len(ours) and len(theirs) else None


def _element_shares(crystals: Sequence[Crystal]) -> dict[str, float]:
    """Share of crystals that contain each element."""
    from pymatgen.core import Element

    counts = Counter(number for crystal in crystals for number in set(crystal.numbers.tolist()))
    return {Element.from_Z(number).symbol: round(count / len(crystals), 6) for number, count in sorted(counts.items())}
