"""Match rate and RMSE against reference crystals: crystal structure prediction (n = 1, n = k) and METRe / cRMSE.

A sample that names its reference (`reference_id`) is compared with that crystal; the best of a reference's samples counts.
METRe (arXiv 2509.12178) compares each reference with all samples of its composition; cRMSE lets an unmatched reference
enter with the tolerance's stol. RMSE is the mean over the matched of the displacement normalised by (V / N)^(1/3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal, FloatArray, IntArray
from crystalfw.core.errors import DataError
from crystalfw.core.evaluate.per_sample import crystal_of, decoded, source_positions
from crystalfw.core.geometry.matcher import TOLERANCES
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Figure, Section, Table, Verdict, percent, short, to_places
from crystalfw.core.records import Sample
from crystalfw.core.system.sequences import Picked
from crystalfw.plugins.metrics.shared.geometry import mean, share
from crystalfw.plugins.metrics.shared.leaks import leaks, sentence
from crystalfw.plugins.metrics.shared.matching import Cells, compare_pairs, tolerance_record
from crystalfw.plugins.metrics.shared.population import Groups, compositions, contents, judge

_SHOWN, _SHOWN_EACH = 100, 2
"""Reference crystals with verdicts on single samples, and samples of each."""


class Match(Metric):
    """Match rate, RMSE, METRe and cRMSE at the loose and the strict tolerance."""

    not_measured = frozenset({"trouble"})

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        n: tuple[int, ...] = ()
        """Numbers of samples per reference to report; empty takes 1, 5, 20 and the largest number there is."""
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

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Rates have as denominator every reference that was asked for; `rate_of_all` every reference there is."""
        work = _Work(samples, reference, self.config, context)
        result: dict[str, Any] = {
            "references": len(reference),
            "references_asked": len(work.asked),
            "samples_of_unknown_reference": work.unknown,
            "samples_per_reference": work.most,
        }
        for tolerance, (_, stol, _) in TOLERANCES.items():
            result[tolerance] = {**work.prediction(tolerance), "metre": work.metre(tolerance, stol)}
        if len(context.train) and len(reference):
            result["leaks"] = leaks(context.bench, reference, context.train, self.config.time_limit).record()
        result["outcomes"] = work.outcomes()
        result["trouble"] = work.trouble()
        result["verdicts"] = work.verdicts()
        result["summary"] = _summary(result)
        result["protocol"] = {
            "tolerances": {name: tolerance_record(name) for name in TOLERANCES},
            "rate": "matched / references asked for; the best of the first n samples of a reference counts",
            "rmse": "mean over the matched of get_rms_dist()[0], normalised by (V/N)^(1/3)",
            "valid": f"structural and compositional (SMACT, {self.config.oxidation_set}); n = 1 asks it of both sides",
            "time_limit_s": self.config.time_limit,
        }
        return result

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """The match rate with one sample per reference, at both tolerances."""
        found = []
        for tolerance in TOLERANCES:
            if figures := result[tolerance].get("n=1"):
                rmse = "" if figures["rmse"] is None else f"; RMSE {to_places(figures['rmse'])}"
                note = f"{short(figures['count'])} of {short(figures['of'])}{rmse}"
                found.append(Figure.of_share(f"{tolerance}.n=1", f"match at n = 1, {tolerance}", figures, note=note))
        return found

    @classmethod
    def sections(cls, result: Mapping[str, Any]) -> Sequence[Section]:
        """Every rate at both tolerances."""
        rows = [row for name in TOLERANCES for key, item in result[name].items() for row in _rows(name, key, item)]
        settings = "; ".join(
            f"{name}: ltol {t['ltol']:g}, stol {t['stol']:g}, angle {t['angle_tol']:g}°"
            for name, t in result["protocol"]["tolerances"].items()
        )
        trouble = ", ".join(f"{count} {name}" for name, count in result["trouble"].items() if name != "compared")
        lead = (
            f"pymatgen's StructureMatcher ({settings}). Asked for: {short(result['references_asked'])} of "
            f"{short(result['references'])} reference crystals. RMSE over the matched, in units of (V/N)^(1/3). "
            + (f"Pairs not decided: {trouble}. " if trouble else "")
            + (f"Leaks: {sentence(result['leaks'])}." if "leaks" in result else "")
        )
        header = ["tolerance", "protocol", "matched", "of", "share", "95 % interval", "of all references", "RMSE", "cRMSE"]
        return [Section(name="Match", title="Match with the reference", lead=lead, parts=[Table(header=header, rows=rows)])]


class _Work:
    """The comparisons of one evaluation, made once for all the figures that need them."""

    def __init__(
        self, samples: Sequence[Sample], reference: Sequence[Crystal], config: Match.Config, context: MetricContext
    ) -> None:
        self.config, self.bench, self.samples, self.reference = config, context.bench, samples, reference
        self.train = context.train
        sources = source_positions(self.bench, samples, reference)
        self.unknown = int((sources == -2).sum())
        crystals = decoded(self.bench, samples)
        self._codes = np.zeros(len(samples), dtype=np.uint64)
        self._codes[crystals.positions] = compositions(self.bench, crystals)
        self._kinds = {"": 0}
        named = np.flatnonzero(sources >= 0)
        targets, first = np.unique(sources[named], return_index=True)
        self.asked: IntArray = targets[np.argsort(first)]
        """Positions of the reference crystals that samples were made for, in the order of the samples."""
        self.named = _Pairs(named, sources[named])
        self._compare(self.named, "match: pairs")
        self.everyone = self._all_pairs()
        if self.everyone is not None:
            self._compare(self.everyone, "METRe: pairs")

    @property
    def most(self) -> int:
        """The largest number of samples of a reference."""
        return int(self.named.turn.max(initial=-1)) + 1

    def counts(self) -> list[int]:
        """The numbers of samples per reference to report."""
        return sorted({n for n in (self.config.n or (1, 5, 20, self.most)) if 0 < n <= self.most})

    def prediction(self, tolerance: str) -> dict[str, Any]:
        """The figures for n = 1, k, ... samples a reference; empty where samples name no reference."""
        return {f"n={n}": self._best_of(n, tolerance) for n in self.counts()}

    def _best_of(self, n: int, tolerance: str) -> dict[str, Any]:
        ours = judge(self.bench, self.samples, self.config.oxidation_set).valid[self.named.sample]
        theirs = judge(self.bench, self.reference, self.config.oxidation_set).valid[self.named.target]
        both = ours & (theirs | (n > 1))
        plain, valid = (self._best(self.named, tolerance, keep) for keep in (self.named.turn < n, (self.named.turn < n) & both))
        rates = {
            **_rate(plain[self.asked], len(self.reference)),
            "valid": _rate(valid[self.asked], len(self.reference)),
        }
        if len(self.train):
            unseen = self.asked[~leaks(self.bench, self.reference, self.train, self.config.time_limit).formula[self.asked]]
            rates["unseen_formula"] = _rate(plain[unseen], len(self.reference))
        return rates

    def _best(self, pairs: _Pairs, tolerance: str, keep: NDArray[np.bool_]) -> FloatArray:
        """(R,) smallest displacement of each reference crystal over the pairs that are kept; NaN without a match."""
        best = np.full(len(self.reference), np.nan)
        np.fmin.at(best, pairs.target[keep], pairs.rms[tolerance][keep])
        return best

    def outcomes(self) -> dict[str, dict[str, float]]:
        """Per reference: was it matched by the best of its samples?"""
        names = [self.reference[target].id for target in self.asked.tolist()]
        found: dict[str, dict[str, float]] = {}
        for tolerance in TOLERANCES:
            for n in self.counts():
                matched = np.isfinite(self._best(self.named, tolerance, self.named.turn < n)[self.asked])
                found[f"{tolerance}.n={n}"] = dict(zip(names, matched.astype(float).tolist(), strict=True))
        return found

    def verdicts(self) -> dict[str, Verdict]:
        """Sample id -> does it match, and why not: the first samples of the first reference crystals asked for."""
        shown = set(self.asked[:_SHOWN].tolist())
        found: dict[str, Verdict] = {}
        for place in np.flatnonzero(self.named.turn < _SHOWN_EACH).tolist():
            target, sample = int(self.named.target[place]), self.samples[self.named.sample[place]]
            if target in shown and sample.crystal is not None:
                rms = {tolerance: float(self.named.rms[tolerance][place]) for tolerance in TOLERANCES}
                trouble = next(name for name, kind in self._kinds.items() if kind == max(self.named.kind[place], 0))
                found[sample.id] = verdict(sample.crystal, self.reference[target], rms, trouble)
        return found

    def metre(self, tolerance: str, stol: float) -> dict[str, Any]:
        """Each reference against every sample of its composition."""
        if self.everyone is None:
            return {"left_out": f"more than {self.config.max_pairs} comparisons (option max_pairs)"}
        if not len(self.reference):
            return {"left_out": "no reference crystals"}
        best = self._best(self.everyone, tolerance, np.ones(len(self.everyone.sample), dtype=bool))[self._targets()]
        matched = best[np.isfinite(best)].tolist()
        penalised = np.where(np.isfinite(best), best, stol).tolist()
        return {**share(len(matched), len(best)), "rmse": mean(matched), "crmse": mean(penalised), "unmatched_enter_with": stol,
                "candidates": self._candidates()}  # fmt: skip

    def _candidates(self) -> dict[str, float]:
        """What METRe grows with: samples in all, and samples of the composition of a reference on average and at most."""
        assert self.everyone is not None
        counts = np.bincount(self.everyone.target, minlength=len(self.reference))[self._targets()]
        return {"samples": len(self.samples), "average": float(counts.mean()), "most": int(counts.max(initial=0))}

    def trouble(self) -> dict[str, int]:
        """Comparisons made, and those that ran out of time or on which the matcher failed; equal samples count once."""
        content = contents(self.bench, self.samples)
        made = [pairs for pairs in (self.named, self.everyone) if pairs is not None]
        kinds = np.concatenate([pairs.kind for pairs in made])
        pairs = np.concatenate([content[pairs.sample] * len(self.reference) + pairs.target for pairs in made])
        _, first = np.unique(pairs[kinds >= 0], return_index=True)
        counts = np.bincount(kinds[kinds >= 0][first], minlength=len(self._kinds))
        found = {name: int(counts[kind]) for name, kind in self._kinds.items() if name and counts[kind]}
        return {"compared": len(first), **found}

    def _targets(self) -> IntArray:
        """The reference crystals of METRe: where samples name references, only those asked for."""
        return self.asked if len(self.asked) else np.arange(len(self.reference))

    def _all_pairs(self) -> _Pairs | None:
        """Every reference crystal with the samples of its composition; None where they are too many."""
        targets = self._targets()
        groups = Groups(self._codes)
        group_of = groups.find(compositions(self.bench, self.reference)[targets])
        sizes = np.where(group_of >= 0, groups.sizes[group_of], 0) if len(groups) else np.zeros(len(targets), dtype=np.int64)
        if sizes.sum() > self.config.max_pairs:
            return None
        members = [groups[group] for group in group_of.tolist() if group >= 0]
        return _Pairs(np.concatenate([np.zeros(0, dtype=np.int64), *members]), np.repeat(targets, sizes))

    def _compare(self, pairs: _Pairs, label: str) -> None:
        """Fill in the displacements; pairs of different composition do not match and are not compared."""
        same = self._codes[pairs.sample] == compositions(self.bench, self.reference)[pairs.target]
        wanted = np.flatnonzero(same)
        samples, targets, limit = pairs.sample[wanted], pairs.target[wanted], self.config.time_limit
        crystals = Picked(self.samples, np.arange(len(self.samples)), crystal_of)
        ours = Cells(self.bench, "samples", crystals, samples, limit)
        theirs = Cells(self.bench, "reference", self.reference, targets, limit)
        cells = ((ours[one], theirs[other]) for one, other in zip(samples.tolist(), targets.tolist(), strict=True))
        answers = compare_pairs(self.bench, label, cells, len(wanted), limit)
        for place, answer in zip(wanted.tolist(), answers, strict=True):
            pairs.kind[place] = self._kinds.setdefault(answer.trouble, len(self._kinds))
            for tolerance, rms in answer.rms.items():
                pairs.rms[tolerance][place] = np.nan if rms is None else rms


class _Pairs:
    """P pairs of a sample and a reference crystal, and what their comparison gave."""

    def __init__(self, sample_P: IntArray, target_P: IntArray) -> None:
        self.sample, self.target = sample_P, target_P
        self.rms = {tolerance: np.full(len(sample_P), np.nan) for tolerance in TOLERANCES}
        """Tolerance -> (P,) displacement normalised by (V / N)^(1/3); NaN where they do not match."""
        self.kind = np.full(len(sample_P), -1, dtype=np.int16)
        """(P,) what went wrong, 0 for nothing; -1 where nothing was compared."""
        order = np.argsort(target_P, kind="stable")
        starts = np.searchsorted(target_P[order], target_P[order])
        self.turn = np.empty(len(sample_P), dtype=np.int64)
        """(P,) how many samples of the same reference crystal come before."""
        self.turn[order] = np.arange(len(sample_P)) - starts


def verdict(crystal: Crystal, asked: Crystal, rms: Mapping[str, float], trouble: str = "") -> Verdict:
    """Is the crystal the one asked for, and what is different where it is not; rms by tolerance, NaN without a match."""
    matched = [tolerance for tolerance in TOLERANCES if np.isfinite(rms[tolerance])]
    if matched:
        return Verdict(good=True, text=f"match ({' and '.join(matched)}): RMSE {to_places(rms[matched[0]])}")
    if crystal.formula != asked.formula:
        return Verdict(good=False, text=f"no match: {crystal.formula} instead of {asked.formula}")
    if trouble:
        return Verdict(good=False, text=f"not decided: {trouble}")
    groups = [item.space_group for item in (crystal, asked)]
    words = [f"{groups[0]} instead of {groups[1]}"] if None not in groups and groups[0] != groups[1] else []
    volumes = [item.volume / item.n_atoms for item in (crystal, asked)]
    words += [f"{volumes[0]:.1f} instead of {volumes[1]:.1f} Å³ per atom"] if abs(volumes[0] / volumes[1] - 1) > 0.1 else []
    return Verdict(good=False, text="; ".join(["no match: same composition, another structure", *words]))


def _rate(best_R: FloatArray, references: int) -> dict[str, Any]:
    matched = best_R[np.isfinite(best_R)].tolist()
    return {**share(len(matched), len(best_R)), "rate_of_all": len(matched) / references, "rmse": mean(matched)}


def _rows(tolerance: str, name: str, figures: Mapping[str, Any]) -> list[list[str | float | None]]:
    """Rows of the report's table: a rate, and the same rate among valid crystals."""
    if "left_out" in figures:
        return [[tolerance, "METRe", f"left out: {figures['left_out']}", "", "", "", "", "", ""]]
    label = _metre_label(figures) if name == "metre" else f"best of {name[2:]}" if name != "n=1" else "n = 1"
    rows: list[list[str | float | None]] = []
    sides = (
        ("", figures),
        (", valid only", figures.get("valid")),
        (", formula not in training", figures.get("unseen_formula")),
    )
    for suffix, item in sides:
        if item:
            share_of = Figure.of_share(name, label, item)
            crmse = to_places(item.get("crmse")) if "crmse" in item else ""
            rows.append([tolerance, label + suffix, item["count"], item["of"], share_of.text, share_of.interval,
                         percent(item.get("rate_of_all")), to_places(item["rmse"]), crmse])  # fmt: skip
    return rows


def _metre_label(figures: Mapping[str, Any]) -> str:
    candidates = figures.get("candidates")
    return f"METRe, {candidates['average']:.3g} candidates a reference" if candidates else "METRe, all samples"


def _summary(result: Mapping[str, Any]) -> list[str]:
    lines = []
    for tolerance in TOLERANCES:
        for name, figures in result[tolerance].items():
            if name != "metre" and figures.get("share") is not None and figures["rate_of_all"] != figures["share"]:
                lines.append(
                    f"match {tolerance}, {name}: {figures['rate_of_all']:.1%} of all {result['references']} references"
                )
            if figures.get("share") is not None:
                rmse = "" if figures["rmse"] is None else f", RMSE {to_places(figures['rmse'], 4)}"
                found = f"{figures['count']} of {figures['of']} ({figures['share']:.1%})"
                lines.append(f"match {tolerance}, {'METRe' if name == 'metre' else name}: {found}{rmse}")
    if "leaks" in result:
        lines.append(f"leaks: {sentence(result['leaks'])}")
    return lines
