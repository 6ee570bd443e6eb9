"""Coverage (CDVAE, DiffCSP): which reference crystals have a sample near them (recall), which samples a reference (precision).

Near: structure and composition fingerprint both within the cut-off of some counterpart, not necessarily the same one - that
is how the published figures are computed. Precision has as denominator all samples requested. Source: Xie et al.,
arXiv 2110.06197, after Ganea et al., arXiv 2106.07802.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray
from crystalfw.core.data.executor import chunks
from crystalfw.core.errors import DataError
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Figure
from crystalfw.core.records import Sample
from crystalfw.core.system.time_limit import TimeLimitExceeded, time_limit
from crystalfw.plugins.metrics.shared.fingerprints import composition_fingerprint, scaled, structure_fingerprint
from crystalfw.plugins.metrics.shared.geometry import Packed, digest, pack, share
from crystalfw.plugins.metrics.shared.population import valid

CUTOFFS = {"mp_20": (0.4, 10.0), "perov_5": (0.2, 4.0), "carbon_24": (0.2, 4.0)}
"""Name -> (structure, composition), the published cut-offs."""
Fingerprints = tuple[FloatArray, FloatArray]
"""Structure (S, 61) and scaled composition (S, 132)."""
_BLOCK = 1024


class Coverage(Metric):
    """COV-R and COV-P."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        cutoffs: str = "mp_20"
        """Published cut-offs of a data set: mp_20 (0.4 / 10), perov_5 or carbon_24 (0.2 / 4)."""
        oxidation_set: str = "smact14"
        """SMACT's oxidation states: as published, only valid samples have fingerprints."""
        time_limit: float = 60.0
        """Seconds per crystal; what runs out of time is counted and covers nothing."""

    def __init__(self, config: Config) -> None:
        if config.cutoffs not in CUTOFFS:
            raise DataError(f"coverage: no cut-offs called '{config.cutoffs}'; there are {', '.join(CUTOFFS)}")
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Raises DataError without reference crystals."""
        if not reference:
            raise DataError("coverage needs reference crystals (--reference)")
        bench, cuts = context.bench, CUTOFFS[self.config.cutoffs]
        crystals = valid(bench, samples, self.config.oxidation_set)
        theirs, lost_there = next(self._fingerprints(reference, bench, "coverage: reference", len(reference)))
        near, lost, precise = _Near(theirs, cuts), Counter[str](), 0
        for ours, reasons in self._fingerprints(crystals, bench, "coverage: samples", _BLOCK):
            precise += near.add(ours)
            lost += reasons
        recall, precision = share(near.recalled, len(reference)), share(precise, len(samples))
        structure_cut, composition_cut = cuts
        return {
            "recall": recall,
            "precision": precision,
            "valid_samples": len(crystals),
            "without_fingerprint": {"samples": dict(lost), "reference": dict(lost_there)},
            "summary": [
                f"coverage recall: {recall['count']} of {recall['of']} reference crystals",
                f"coverage precision: {precision['count']} of {precision['of']} samples",
            ],
            "protocol": {
                "cutoffs": {"data": self.config.cutoffs, "structure": structure_cut, "composition": composition_cut},
                "fingerprints": "CrystalNN order parameters (61), Magpie statistics (132, CDVAE's scaling)",
                "precision": "denominator: all samples; only structurally and compositionally valid ones have fingerprints",
            },
        }

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """Recall and precision."""
        words = {"recall": "reference crystals covered", "precision": "samples near a reference crystal"}
        return [Figure.of_share(name, label, result[name]) for name, label in words.items()]

    def _fingerprints(
        self, crystals: Sequence[Crystal], bench: Workbench, label: str, size: int
    ) -> Iterator[tuple[Fingerprints, Counter[str]]]:
        """Fingerprints of `size` crystals at a time, NaN where there are none, and the reasons counted."""
        limit = self.config.time_limit
        questions = ((f"ops-2:{limit:g}:{digest(crystal)}", (pack(crystal), limit)) for crystal in crystals)
        for block in chunks(bench.map(label, _fingerprint, questions, len(crystals)), size):
            structures, compositions = np.full((len(block), 61), np.nan), np.full((len(block), 132), np.nan)
            for row, (structure, composition, problem) in enumerate(block):
                if not problem:
                    structures[row], compositions[row] = structure, composition
            lost = Counter(problem for _, _, problem in block if problem)
            yield (structures, scaled(compositions)), lost


def _fingerprint(item: tuple[Packed, float]) -> list[Any]:
    from crystalfw.plugins.metrics.shared.crystal_nn import compiled

    (lattice, frac_coords, numbers), limit = item
    crystal = Crystal(lattice=lattice, frac_coords=frac_coords, numbers=numbers)
    composition = composition_fingerprint(_counts(crystal))
    if not np.isfinite(composition).all():
        return [None, None, "an element without Magpie properties"]
    compiled()
    try:
        with time_limit(limit):
            return [structure_fingerprint(crystal).round(9).tolist(), composition.round(9).tolist(), ""]
    except TimeLimitExceeded:
        return [None, None, "timeout"]
    except ValueError as error:
        return [None, None, str(error)]


def _counts(crystal: Crystal) -> dict[str, float]:
    from pymatgen.core import Element

    numbers, counts = np.unique(crystal.numbers, return_counts=True)
    symbols = (Element.from_Z(number).symbol for number in numbers.tolist())
    return dict(zip(symbols, counts.astype(float).tolist(), strict=True))


class _Near:
    """Which reference crystals have samples near them: samples come block by block, so that memory does not grow."""

    def __init__(self, reference: Fingerprints, cuts: tuple[float, float]) -> None:
        self._reference, self._cuts = reference, cuts
        self._nearest = [np.full(len(side), np.inf) for side in reference]

    def add(self, samples: Fingerprints) -> int:
        """How many of these samples have a reference crystal near them."""
        from scipy.spatial.distance import cdist

        near = np.ones(len(samples[0]), dtype=bool)
        for side, (ours, theirs, cut) in enumerate(zip(samples, self._reference, self._cuts, strict=True)):
            distances = np.nan_to_num(cdist(ours, theirs), nan=np.inf)
            near &= distances.min(axis=1) <= cut
            np.minimum(self._nearest[side], distances.min(axis=0), out=self._nearest[side])
        return int(near.sum())

    @property
    def recalled(self) -> int:
        """How many reference crystals have a sample near them."""
        within = [nearest <= cut for nearest, cut in zip(self._nearest, self._cuts, strict=True)]
        return int((within[0] & within[1]).sum())
