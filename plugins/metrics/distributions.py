"""How far the samples' distributions are from the reference's: Wasserstein distances, and histograms for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray
from crystalfw.core.errors import DataError
from crystalfw.core.evaluate.per_sample import decoded
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.interfaces import Metric
from crystalfw.core.records import Sample
from crystalfw.plugins.metrics.shared.population import judge

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
        bench = context["bench"]
        crystals = self._population(samples, bench)
        ours, our_elements = _read(crystals, "distributions: samples", bench)
        theirs, their_elements = _read(reference, "distributions: reference", bench)
        result: dict[str, Any] = {"asked": len(samples), "samples": len(crystals), "reference": len(reference)}
        result["distances"] = {name: _wasserstein(ours[name], theirs[name]) for name in QUANTITIES}
        result["histograms"] = {name: self._histogram(name, ours[name], theirs[name]) for name in QUANTITIES}
        result["elements"] = {"samples": our_elements, "reference": their_elements}
        result["protocol"] = {"population": self.config.population, "units": QUANTITIES, "distance": "Wasserstein-1"}
        known = {name: distance for name, distance in result["distances"].items() if distance is not None}
        result["summary"] = [f"Wasserstein {name}: {distance:.3f} ({QUANTITIES[name]})" for name, distance in known.items()]
        return result

    def _population(self, samples: Sequence[Sample], bench: Workbench) -> Sequence[Crystal]:
        crystals, judged = decoded(bench, samples), judge(bench, samples, self.config.oxidation_set)
        wanted = judged.valid if self.config.population == "valid" else judged.structural == 0
        return crystals.keep(wanted[crystals.positions])

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


def _read(crystals: Sequence[Crystal], label: str, bench: Workbench) -> tuple[dict[str, FloatArray], dict[str, float]]:
    """Every quantity of every crystal, and the share of crystals that contain each element."""
    from pymatgen.core import Element

    table, counts = np.empty((len(QUANTITIES), len(crystals))), Counter[int]()
    for index, crystal in enumerate(bench.track(label, crystals, len(crystals))):
        table[:, index] = list(quantities(crystal).values())
        counts.update(set(crystal.numbers.tolist()))
    shares = {Element.from_Z(number).symbol: round(count / len(crystals), 6) for number, count in sorted(counts.items())}
    return dict(zip(QUANTITIES, table, strict=True)), shares


def _wasserstein(ours: FloatArray, theirs: FloatArray) -> float | None:
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(ours, theirs)) if len(ours) and len(theirs) else None
