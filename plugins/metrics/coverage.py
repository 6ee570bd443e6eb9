"""Coverage (CDVAE, DiffCSP): which reference crystals have a sample near them (recall), which samples a reference (precision).

Near: structure and composition fingerprint both within the cut-off of some counterpart, not necessarily the same one - that
is how the published figures are computed. Precision has as denominator all samples asked for. Source: Xie et al.,
arXiv 2110.06197, after Ganea et al., arXiv 2106.07802.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Metric, Sample
from crystalfw.core.timelimit import TimeLimitExceeded, time_limit
from crystalfw.core.workbench import Workbench
from crystalfw.plugins.metrics.fingerprints import composition_fingerprint, scaled, structure_fingerprint
from crystalfw.plugins.metrics.geometry import Packed, digest, pack, share, unpack
from crystalfw.plugins.metrics.validity import compositional_problems, structural_problem

CUTOFFS = {"mp_20": (0.4, 10.0), "perov_5": (0.2, 4.0), "carbon_24": (0.2, 4.0)}
"""Name -> (structure, composition), the published cut-offs."""
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

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: Mapping[str, Any]) -> dict[str, Any]:
        """Raises DataError without reference crystals."""
        if not reference:
            raise DataError("coverage needs reference crystals (--reference)")
        crystals = self._valid(samples, context["bench"])
        structures, compositions, lost = self._fingerprints(crystals, context["bench"], "coverage: samples")
        others, other_compositions, lost_there = self._fingerprints(reference, context["bench"], "coverage: reference")
        structure_cut, composition_cut = CUTOFFS[self.config.cutoffs]
        near = [_nearest(structures, others), _nearest(compositions, other_compositions)]
        cuts = (structure_cut, composition_cut)
        recalled = np.all([by_reference <= cut for (_, by_reference), cut in zip(near, cuts, strict=True)], axis=0)
        precise = np.all([by_sample <= cut for (by_sample, _), cut in zip(near, cuts, strict=True)], axis=0)
        recall, precision = share(int(recalled.sum()), len(reference)), share(int(precise.sum()), len(samples))
        return {
            "recall": recall,
            "precision": precision,
            "valid_samples": len(crystals),
            "without_fingerprint": {"samples": lost, "reference": lost_there},
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

    def _valid(self, samples: Sequence[Sample], bench: Workbench) -> list[Crystal]:
        crystals = [sample.crystal for sample in samples if sample.status == "ok" and sample.crystal is not None]
        crystals = [crystal for crystal in crystals if not structural_problem(crystal)]
        problems = compositional_problems(crystals, self.config.oxidation_set)
        return [crystal for crystal, problem in zip(crystals, problems, strict=True) if not problem]

    def _fingerprints(
        self, crystals: Sequence[Crystal], bench: Workbench, label: str
    ) -> tuple[FloatArray, FloatArray, dict[str, int]]:
        """Structure (S, 61) and scaled composition (S, 132) fingerprints, NaN where there is none; the reasons counted."""
        items = [(pack(crystal), self.config.time_limit) for crystal in crystals]
        found = bench.map(label, _fingerprint, items, [f"ops-1:{self.config.time_limit:g}:{digest(c)}" for c in crystals])
        lost: dict[str, int] = {}
        structures, compositions = np.full((len(crystals), 61), np.nan), np.full((len(crystals), 132), np.nan)
        for row, (structure, composition, problem) in enumerate(found):
            if problem:
                lost[problem] = lost.get(problem, 0) + 1
            else:
                structures[row], compositions[row] = structure, composition
        return structures, scaled(compositions), lost


def _fingerprint(item: tuple[Packed, float]) -> list[Any]:
    packed, limit = item
    structure = unpack(packed)
    counts = {element.symbol: float(count) for element, count in structure.composition.items()}
    composition = composition_fingerprint(counts)
    if not np.isfinite(composition).all():
        return [None, None, "an element without Magpie properties"]
    try:
        with time_limit(limit):
            return [structure_fingerprint(structure).round(9).tolist(), composition.round(9).tolist(), ""]
    except TimeLimitExceeded:
        return [None, None, "timeout"]
    except Exception as error:
        return [None, None, type(error).__name__]


def _nearest(ours_SK: FloatArray, theirs_RK: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Distance of every sample to its nearest reference (S,) and the other way (R,); infinite where there is none.

    In blocks, so that memory does not grow with samples times references.
    """
    from scipy.spatial.distance import cdist

    by_sample, by_reference = np.full(len(ours_SK), np.inf), np.full(len(theirs_RK), np.inf)
    if not len(ours_SK) or not len(theirs_RK):
        return by_sample, by_reference
    for start in range(0, len(ours_SK), _BLOCK):
        distances = np.nan_to_num(cdist(ours_SK[start : start + _BLOCK], theirs_RK), nan=np.inf)
        by_sample[start : start + _BLOCK] = distances.min(axis=1)
        by_reference = np.minimum(by_reference, distances.min(axis=0))
    return by_sample, by_reference
