"""Diversity of the decoded samples: Vendi scores of composition and structure, effective numbers of elements and groups.

The Vendi score is the exponential of the entropy of the eigenvalues of K / n, K the similarities of n items: how many
different items there effectively are (Friedman and Dieng, TMLR 2023, arXiv 2210.02410). Similarity here is the cosine of
fingerprints, standardised by the reference where there is one, so that the eigenvalues are those of a small matrix of the
fingerprints' own size, and the score cannot exceed that size. Scores grow with the number of samples: compare equal numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray
from crystalfw.core.evaluate.per_sample import decoded
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Figure, Section, Table, short
from crystalfw.core.records import Sample
from crystalfw.plugins.metrics.shared.exchanges import minimum_distances
from crystalfw.plugins.metrics.shared.types import types_of

_MAX_Z = 119
_WORDS = {"composition": "composition", "structure": "structure", "elements": "elements", "space_groups": "space groups"}


class Diversity(Metric):
    """How many different crystals the samples effectively are."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        resamples: int = 200
        """Bootstrap samples of the 95 % intervals."""
        seed: int = 0
        """Seed of the bootstrap."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Scores are null without decoded samples; the reference's own scores stand beside them."""
        bench = context.bench
        crystals = decoded(bench, samples)
        sides = {"samples": self._fingerprints(bench, crystals, "samples")}
        if len(reference):
            sides["reference"] = self._fingerprints(bench, reference, "reference")
        scaling = {name: _scaling(prints) for name, prints in sides.get("reference", sides["samples"]).items()}
        result: dict[str, Any] = {
            side: {name: self._score(name, prints, scaling[name]) for name, prints in found.items()}
            for side, found in sides.items()
        }
        ours = result["samples"]
        line = ", ".join(f"{_WORDS[name]} {short(item['score'], 3)}" for name, item in ours.items())
        return {
            **result,
            "asked": len(samples),
            "decoded": len(crystals),
            "summary": [f"effective numbers of {len(crystals)} decoded samples: {line}"],
            "protocol": {
                "composition": "Vendi score, cosine of element shares",
                "structure": "Vendi score, cosine of average minimum distances (24), standardised by the reference",
                "elements, space_groups": "exponential of Shannon's entropy: a Vendi score in which unequal is dissimilar",
                "denominator": "decoded samples; interval: score +- 1.96 standard deviations of a bootstrap",
            },
        }

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """The two Vendi scores."""
        beside = result.get("reference", {})
        return [
            Figure(
                f"samples.{name}.score", f"Vendi score, {name}", item["score"], "", "", low=item["low"], high=item["high"],
                note=f"reference {short(beside[name]['score'], 3)}" if name in beside else "",
            )
            for name, item in result["samples"].items() if name in ("composition", "structure")
        ]  # fmt: skip

    @classmethod
    def sections(cls, result: Mapping[str, Any]) -> Sequence[Section]:
        """Scores of samples and reference."""
        sides = [side for side in ("samples", "reference") if side in result]
        rows: list[list[str | float | None]] = [
            [words, *(cell for side in sides for cell in (result[side][name]["score"], _interval(result[side][name])))]
            for name, words in _WORDS.items()
        ]
        header = ["effective number of", *(cell for side in sides for cell in (side, "95 % interval"))]
        return [
            Section(
                name="Diversity", title="How many different crystals", parts=[Table(header=header, rows=rows)],
                lead="Vendi scores (arXiv 2210.02410): effective numbers; they grow with the number of samples.",
            )
        ]  # fmt: skip

    def _fingerprints(self, bench: Workbench, crystals: Sequence[Crystal], label: str) -> dict[str, FloatArray]:
        shares = np.zeros((len(crystals), _MAX_Z))
        for place, crystal in enumerate(crystals):
            shares[place] = np.bincount(crystal.numbers, minlength=_MAX_Z)[:_MAX_Z] / crystal.n_atoms
        groups = types_of(bench, crystals, label).group
        return {
            "composition": shares,
            "structure": np.asarray(minimum_distances(bench, crystals, label), dtype=np.float64),
            "elements": shares,
            "space_groups": np.eye(231)[groups[groups > 0]],
        }

    def _score(self, name: str, prints_SD: FloatArray, scaling: tuple[FloatArray, FloatArray]) -> dict[str, float | None]:
        prints = prints_SD[np.isfinite(prints_SD).all(-1)]
        if not len(prints):
            return {"score": None, "low": None, "high": None}
        if name == "structure":
            prints = (prints - scaling[0]) / scaling[1]
        score = Effective(prints) if name in ("elements", "space_groups") else Vendi(prints)
        rng, n = np.random.default_rng(self.config.seed), len(prints)
        value = score(np.ones(n))
        draws = (np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64) for _ in range(self.config.resamples))
        found = [score(times_S) for times_S in draws]
        if len(found) < 2:
            return {"score": value, "low": None, "high": None}
        # resamples repeat crystals and lie lower than the score: their spread is taken, not their place
        half = 1.96 * float(np.std(found, ddof=1))
        return {"score": value, "low": max(1.0, value - half), "high": value + half}


class Vendi:
    """Vendi score of S fingerprints under their cosine, each taken a number of times; between 1 and min(S, D)."""

    def __init__(self, prints_SD: FloatArray) -> None:
        used = prints_SD[:, (prints_SD != 0).any(0)]
        norms = np.linalg.norm(used, axis=1, keepdims=True)
        # equal fingerprints are one row, taken more often
        unit, self._row = np.unique(used / np.where(norms > 0, norms, 1.0), axis=0, return_inverse=True)
        self._unit: FloatArray = unit
        self._row = self._row.reshape(-1)

    def __call__(self, times_S: FloatArray) -> float:
        """The score where each fingerprint is there `times_S` (S,) times."""
        times = np.bincount(self._row, weights=times_S, minlength=len(self._unit))
        # K = unit unit^T / n has the same eigenvalues above 0 as this D x D matrix
        values = np.linalg.eigvalsh((self._unit * times[:, None]).T @ self._unit / times_S.sum())
        values = values[values > 1e-12]
        return float(np.exp(-(values * np.log(values)).sum()))


class Effective:
    """Exponential of the entropy of the mean shares (S, D): the number of equally frequent things as diverse as these."""

    def __init__(self, shares_SD: FloatArray) -> None:
        self._shares = shares_SD

    def __call__(self, times_S: FloatArray) -> float:
        """The number where each row is there `times_S` (S,) times."""
        mean = times_S @ self._shares / times_S.sum()
        mean = mean[mean > 0] / mean.sum()
        return float(np.exp(-(mean * np.log(mean)).sum()))


def _scaling(prints_SD: FloatArray) -> tuple[FloatArray, FloatArray]:
    prints = prints_SD[np.isfinite(prints_SD).all(-1)]
    if not len(prints):
        return np.zeros(prints_SD.shape[1]), np.ones(prints_SD.shape[1])
    return prints.mean(0), np.maximum(prints.std(0), 1e-6)


def _interval(item: Mapping[str, Any]) -> str:
    return "" if item["low"] is None else f"{short(item['low'], 3)} to {short(item['high'], 3)}"
