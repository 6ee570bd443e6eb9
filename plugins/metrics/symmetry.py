"""Space groups of samples and reference, by spglib at two precisions: generated crystals tend to lose their symmetry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.evaluate.per_sample import decoded, source_positions
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Figure, Part, Section, Table, percent
from crystalfw.core.records import Sample
from crystalfw.plugins.metrics.shared.geometry import share
from crystalfw.plugins.metrics.shared.types import symmetries

SYSTEMS = {
    "triclinic": 2, "monoclinic": 15, "orthorhombic": 74, "tetragonal": 142, "trigonal": 167, "hexagonal": 194, "cubic": 230,
}  # fmt: skip
"""Crystal system -> its last space-group number."""
_NONE = 0


def crystal_system(number: int) -> str:
    """The crystal system of a space-group number."""
    return next(system for system, last in SYSTEMS.items() if number <= last)


class Symmetry(Metric):
    """Crystal systems, share without symmetry (P1), agreement with the reference that a sample was made for."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        symprec: tuple[float, ...] = (0.1, 0.01)
        """Precisions in angstrom."""

    def __init__(self, config: Config) -> None:
        if not config.symprec or any(precision <= 0 for precision in config.symprec):
            raise DataError("symmetry: symprec lists precisions above 0 angstrom")
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Per precision, over the samples that are crystals."""
        bench = context.bench
        crystals = decoded(bench, samples)
        sources = source_positions(bench, samples, reference)[crystals.positions]
        named = sources >= 0
        result: dict[str, Any] = {"asked": len(samples), "summary": []}
        for precision in self.config.symprec:
            ours = symmetries(bench, crystals, precision, "samples").group
            theirs = symmetries(bench, reference, precision, "reference").group
            agree = (ours[named] == theirs[sources[named]]) & (ours[named] != _NONE)
            same = share(int(agree.sum()), int(named.sum()))
            figures = {"samples": _figures(ours), "reference": _figures(theirs), "same_as_reference": same}
            result[f"symprec={precision:g}"] = figures
            result["summary"].append(f"P1 at symprec {precision:g}: {figures['samples']['p1']['count']} of {len(ours)} samples")
        return {**result, "protocol": {"spglib": "space-group number at symprec in angstrom", "denominator": "decoded samples"}}

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """The share without symmetry at the first precision."""
        name, figures = next(iter(_by_precision(result).items()))
        reference = percent(figures["reference"]["p1"]["share"])
        p1 = figures["samples"]["p1"]
        return [
            Figure.of_share(
                f"{name}.samples.p1", f"P1 at {name.replace('=', ' ')}", p1, better="", note=f"reference: {reference}"
            )
        ]

    @classmethod
    def sections(cls, result: Mapping[str, Any]) -> Sequence[Section]:
        """Crystal systems of samples and reference at every precision."""
        header, parts = ["crystal system", "samples", "reference"], list[Part]()
        for name, figures in _by_precision(result).items():
            ours, theirs = figures["samples"]["systems"], figures["reference"]["systems"]
            rows = [[system, percent(ours.get(system)), percent(theirs.get(system))] for system in SYSTEMS]
            parts.append(Table(title=name, header=header, rows=rows))
        lead = "Shares of the decoded samples and of the reference in each crystal system, by spglib."
        return [Section(name="Symmetry", title="Symmetry", lead=lead, parts=parts)]


def _by_precision(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in result.items() if name.startswith("symprec=")}


def _figures(numbers_S: NDArray[np.int16]) -> dict[str, Any]:
    found, counts = np.unique(numbers_S[numbers_S != _NONE], return_counts=True)
    systems = Counter[str]()
    for number, count in zip(found.tolist(), counts.tolist(), strict=True):
        systems[crystal_system(number)] += count
    total = len(numbers_S)
    return {
        "p1": share(int((numbers_S == 1).sum()), total),
        "not_found": int((numbers_S == _NONE).sum()),
        "distinct_groups": len(found),
        "systems": {system: round(systems[system] / total, 6) for system in SYSTEMS} if total else {},
    }
