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
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import ElementMap, Figure, Histogram, Part, Section, Table, percent, short
from crystalfw.core.records import Sample
from crystalfw.plugins.metrics.shared.population import judge

QUANTITIES = {
    "density": "g/cm³",
    "elements": "distinct elements",
    "atoms": "atoms per cell",
    "volume_per_atom": "Å³",
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

    not_measured = frozenset({"histograms", "elements"})

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

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Distances are None where one side is empty."""
        bench = context.bench
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

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """The distances that papers report."""
        return [
            Figure(
                f"distances.{name}", f"Wasserstein distance of {words}", result["distances"][name], QUANTITIES[name], "lower"
            )
            for name, words in (("density", "density"), ("elements", "the number of elements"))
            if result["distances"].get(name) is not None
        ]

    @classmethod
    def sections(cls, result: Mapping[str, Any]) -> Sequence[Section]:
        """Histograms against the reference, and the elements of both sides."""
        return [*_histogram_section(result), *_element_section(result)]

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


_TITLES = {
    "density": "Density", "elements": "Elements per crystal", "atoms": "Atoms per cell", "volume_per_atom": "Volume per atom",
}  # fmt: skip


def _histogram_section(result: Mapping[str, Any]) -> list[Section]:
    if not any(item["edges"] for item in result["histograms"].values()):
        return []
    units, distances, parts = result["protocol"]["units"], result["distances"], list[Part]()
    for name, item in result["histograms"].items():
        note = "" if distances[name] is None else f"Wasserstein distance {short(distances[name], 3)} {units[name]}"
        sides = {"samples": item["samples"], "reference": item["reference"]}
        parts.append(
            Histogram(
                title=_TITLES[name], edges=item["edges"], sides=sides, unit=units[name],
                discrete=name in ("elements", "atoms"), note=note,
            )
        )  # fmt: skip
    rows = [[_TITLES[name], distance, units[name]] for name, distance in distances.items()]
    header = ["quantity", "Wasserstein distance", "unit"]
    parts.append(Table(title="The distances as a table", header=header, rows=rows, folded=True))
    lead = (
        f"{short(result['samples'])} {result['protocol']['population']} samples of {short(result['asked'])}, "
        f"{short(result['reference'])} reference crystals."
    )
    return [Section(name="Distributions", title="Distributions", lead=lead, parts=parts)]


def _element_section(result: Mapping[str, Any]) -> list[Section]:
    ours, theirs = result["elements"]["samples"], result["elements"]["reference"]
    if not ours:
        return []
    parts: list[Part] = [ElementMap(title="Samples", shares=ours, beside=theirs, label="Share of samples with each element")]
    if theirs:
        label = "Share of reference crystals with each element"
        parts.append(ElementMap(title="Reference", shares=theirs, beside=ours, label=label))
    names = sorted({*ours, *theirs}, key=lambda name: (-ours.get(name, 0.0), -theirs.get(name, 0.0), name))
    rows = [[name, percent(ours.get(name, 0.0)), percent(theirs.get(name, 0.0))] for name in names]
    parts.append(Table(title="The shares as a table", header=["element", "samples", "reference"], rows=rows, folded=True))
    return [Section(name="Elements", title="Elements", lead="Share of crystals that contain the element.", parts=parts)]
