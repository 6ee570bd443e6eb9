"""Match rate and RMSE against reference crystals: crystal structure prediction (n = 1, n = k) and METRe / cRMSE.

A sample that names its reference (`reference_id`) is compared with that crystal; the best of a reference's samples counts.
METRe (arXiv 2509.12178) compares each reference with all samples of its composition; cRMSE lets an unmatched reference
enter with the tolerance's stol. RMSE is the mean over the matched of the displacement normalised by (V / N)^(1/3).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Metric, Sample
from crystalfw.core.matcher import TOLERANCES
from crystalfw.plugins.metrics.geometry import by_composition, mean, reduced_composition, share
from crystalfw.plugins.metrics.matching import Pair, PairResult, compare_pairs, tolerance_record
from crystalfw.plugins.metrics.validity import compositional_problems, structural_problem

_NO_MATCH = PairResult({"loose": None, "strict": None})


class Match(Metric):
    """Match rate, RMSE, METRe and cRMSE at the loose and the strict tolerance."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        n: tuple[int, ...] = ()
        """Numbers of samples per reference to report; empty takes 1 and the largest number there is."""
        oxidation_set: str = "smact14"
        """SMACT's oxidation states for the rates that ask for validity (DiffCSP's protocol)."""
        time_limit: float = 20.0
        """Seconds per pair; a pair that runs out of time counts as not matching, and is counted."""
        max_pairs: int = 1_000_000
        """METRe is left out, with the reason, where it would need more comparisons."""

    def __init__(self, config: Config) -> None:
        if any(n < 1 for n in config.n):
            raise DataError("match: n counts samples per reference, from 1 on")
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: Mapping[str, Any]) -> dict[str, Any]:
        """Rates have as denominator every reference that was asked for; `rate_of_all` every reference there is."""
        work = _Work(samples, reference, self.config, context)
        result: dict[str, Any] = {
            "references": len(reference),
            "references_asked": len(work.asked),
            "samples_of_unknown_reference": work.unknown,
            "samples_per_reference": max((len(group) for group in work.asked.values()), default=0),
        }
        for tolerance, (_, stol, _) in TOLERANCES.items():
            result[tolerance] = {**work.prediction(tolerance), "metre": work.metre(tolerance, stol)}
        result["outcomes"] = work.outcomes()
        result["trouble"] = work.trouble()
        result["summary"] = _summary(result)
        result["protocol"] = {
            "tolerances": {name: tolerance_record(name) for name in TOLERANCES},
            "rate": "matched / references asked for; the best of the first n samples of a reference counts",
            "rmse": "mean over the matched of get_rms_dist()[0], normalised by (V/N)^(1/3)",
            "valid": f"structural and compositional (SMACT, {self.config.oxidation_set}); n = 1 asks it of both sides",
            "time_limit_s": self.config.time_limit,
        }
        return result


class _Work:
    """The comparisons of one evaluation, made once for all the figures that need them."""

    def __init__(
        self, samples: Sequence[Sample], reference: Sequence[Crystal], config: Match.Config, context: Mapping[str, Any]
    ) -> None:
        self.config, self.bench, self.reference = config, context["bench"], reference
        self.crystals = [sample.crystal if sample.status == "ok" else None for sample in samples]
        position = {crystal.id: index for index, crystal in enumerate(reference) if crystal.id}
        self.asked: dict[int, list[int]] = defaultdict(list)
        self.unknown = 0
        for index, sample in enumerate(samples):
            if sample.reference_id in position:
                self.asked[position[sample.reference_id]].append(index)
            elif sample.reference_id:
                self.unknown += 1
        self._twin = _first_equal(self.crystals)
        self._results: dict[tuple[int, int], PairResult] = {}
        self._compare([(index, target) for target, group in self.asked.items() for index in group], "match: pairs")
        self._everyone = self._all_pairs()
        self._valid: tuple[list[bool], list[bool]] | None = None

    def prediction(self, tolerance: str) -> dict[str, Any]:
        """The figures for n = 1, k, ... samples a reference; empty where samples name no reference."""
        return {f"n={n}": self._best_of(n, tolerance) for n in self._counts()}

    def _best_of(self, n: int, tolerance: str) -> dict[str, Any]:
        ours, theirs = self._validity()
        plain, valid = [], []
        for target, group in self.asked.items():
            found = [(index, self._rms(index, target, tolerance)) for index in group[:n]]
            plain.append(_smallest([rms for _, rms in found]))
            both = theirs[target] or n > 1
            valid.append(_smallest([rms for index, rms in found if ours[index] and both]))
        return {
            **_rate(plain, len(self.reference)),
            "valid": _rate(valid, len(self.reference)),
        }

    def outcomes(self) -> dict[str, dict[str, float]]:
        """Per reference: was it matched by the best of its samples?"""
        found: dict[str, dict[str, float]] = {}
        for tolerance in TOLERANCES:
            for n in self._counts():
                best = {t: _smallest([self._rms(i, t, tolerance) for i in group[:n]]) for t, group in self.asked.items()}
                matched = {self.reference[target].id: float(rms is not None) for target, rms in best.items()}
                found[f"{tolerance}.n={n}"] = matched
        return found

    def _counts(self) -> list[int]:
        """The numbers of samples per reference to report."""
        most = max((len(group) for group in self.asked.values()), default=0)
        return sorted({n for n in (self.config.n or (1, most)) if 0 < n <= most})

    def metre(self, tolerance: str, stol: float) -> dict[str, Any]:
        """Each reference against every sample of its composition."""
        if self._everyone is None:
            return {"left_out": f"more than {self.config.max_pairs} comparisons (option max_pairs)"}
        if not self.reference:
            return {"left_out": "no reference crystals"}
        best = [_smallest([self._rms(i, target, tolerance) for i in found]) for target, found in self._everyone.items()]
        penalised = [stol if rms is None else rms for rms in best]
        matched = [rms for rms in best if rms is not None]
        return {**share(len(matched), len(best)), "rmse": mean(matched), "crmse": mean(penalised), "unmatched_enter_with": stol}

    def trouble(self) -> dict[str, int]:
        """Pairs that ran out of time, or on which the matcher failed."""
        counts: dict[str, int] = {"compared": len(self._results)}
        for result in self._results.values():
            if result.trouble:
                counts[result.trouble] = counts.get(result.trouble, 0) + 1
        return counts

    def _all_pairs(self) -> dict[int, list[int]] | None:
        """Reference -> samples of its composition; where samples name references, only those asked for."""
        known = [index for index, crystal in enumerate(self.crystals) if crystal is not None]
        buckets = by_composition(self.crystals[index] for index in known)  # type: ignore[misc]
        targets = list(self.asked) or range(len(self.reference))
        everyone = {k: [known[i] for i in buckets.get(reduced_composition(self.reference[k]), [])] for k in targets}
        if sum(map(len, everyone.values())) > self.config.max_pairs:
            return None
        self._compare([(index, target) for target, found in everyone.items() for index in found], "METRe: pairs")
        return everyone

    def _compare(self, wanted: list[tuple[int, int]], label: str) -> None:
        """Compare (sample, reference) positions that were not compared before; equal samples are compared once."""
        positions, pairs, waiting = [], [], set[tuple[int, int]]()
        for index, target in wanted:
            crystal, other = self.crystals[index], self.reference[target]
            position = (self._twin[index], target)
            same = crystal is not None and reduced_composition(crystal) == reduced_composition(other)
            if same and position not in self._results and position not in waiting:
                waiting.add(position)
                positions.append(position)
                pairs.append(_pair(crystal, other))
        self._results.update(zip(positions, compare_pairs(self.bench, label, pairs, self.config.time_limit), strict=True))

    def _rms(self, index: int, target: int, tolerance: str) -> float | None:
        return self._results.get((self._twin[index], target), _NO_MATCH).rms[tolerance]

    def _validity(self) -> tuple[list[bool], list[bool]]:
        if self._valid is None:
            self._valid = self._judge(self.crystals), self._judge(self.reference)
        return self._valid

    def _judge(self, crystals: Sequence[Crystal | None]) -> list[bool]:
        valid = [crystal is not None and not structural_problem(crystal) for crystal in crystals]
        positions = [index for index, good in enumerate(valid) if good]
        judged = [crystal for index in positions if (crystal := crystals[index]) is not None]
        problems = compositional_problems(judged, self.config.oxidation_set)
        for index, problem in zip(positions, problems, strict=True):
            valid[index] = not problem
        return valid


def _first_equal(crystals: Sequence[Crystal | None]) -> list[int]:
    """For each crystal the position of the first one that is equal to it, number by number."""
    first: dict[tuple[bytes, bytes, bytes], int] = {}
    found = []
    for index, crystal in enumerate(crystals):
        key = None if crystal is None else tuple(a.tobytes() for a in (crystal.numbers, crystal.lattice, crystal.frac_coords))
        found.append(index if key is None else first.setdefault(key, index))  # type: ignore[arg-type]
    return found


def _pair(crystal: Crystal | None, other: Crystal) -> Pair:
    assert crystal is not None
    return crystal, other


def _smallest(values: Sequence[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _rate(best: Sequence[float | None], references: int) -> dict[str, Any]:
    matched = [rms for rms in best if rms is not None]
    return {**share(len(matched), len(best)), "rate_of_all": len(matched) / references, "rmse": mean(matched)}


def _summary(result: Mapping[str, Any]) -> list[str]:
    lines = []
    for tolerance in TOLERANCES:
        for name, figures in result[tolerance].items():
            if "share" in figures and figures["share"] is not None:
                rmse = "" if figures["rmse"] is None else f", RMSE {figures['rmse']:.4f}"
                lines.append(f"match {tolerance}, {name}: {figures['count']} of {figures['of']} ({figures['share']:.1%}){rmse}")
    return lines
