"""Requested against obtained: does a sample have what it was asked for?

Compositions and space groups are read off the crystal. Other properties need a predictor, named in the options: a run
folder of a model with the decoder `regressor`; its own test error stands beside every figure, because no error below it
means anything. Baseline: the same samples with the targets dealt out at random, what a generator that ignores its
condition would reach.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray
from crystalfw.core.errors import DataError
from crystalfw.core.evaluate.per_sample import PerSample, crystal_of, ids
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.geometry.space_group import space_group_number
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.packaged import located
from crystalfw.core.presentation import Figure, Scatter, Section, short
from crystalfw.core.records import Sample
from crystalfw.core.system.sequences import Picked
from crystalfw.plugins.metrics.shared.geometry import share

_SHOWN_PAIRS = 2000
_SPACE_GROUP = ("spacegroup.number", "space_group")


_POOR = "is no better than always saying the median (test MAE {mae} against {mae_of_the_median}); its verdicts mean little"


def _is_poor(error: Mapping[str, Any]) -> bool:
    """True where a predictor's test error is no smaller than that of the median of the test part."""
    return "mae" in error and float(error["mae"]) >= float(error.get("mae_of_the_median", math.inf))


def _rounded(error: Mapping[str, Any]) -> dict[str, str]:
    return {name: short(error[name], 3) for name in ("mae", "mae_of_the_median")}


def _against_median(figures: Mapping[str, Any]) -> str:
    error = figures["predictor_test_error"]
    return f", which {_POOR.format(**_rounded(error))}" if _is_poor(error) else ""


def _nothing_judged(targets: Sequence[str], predictor: str | None) -> str:
    """Why no sample could be judged, with the commands that help."""
    if not targets:
        return "conditional: no sample was asked for a composition, a space group or a property"
    names = ", ".join(targets)
    if predictor is not None:
        return f"conditional: {predictor} does not predict {names}, which the samples were asked for"
    return (
        f"conditional: {names} needs a predictor. Train one and name it:\n"
        f"  crystalfw run regress data.path=TABLE 'model.decoder.columns=[{','.join(targets)}]'\n"
        "  crystalfw evaluate SAMPLES --metrics conditional:predictor=runs/regress"
    )


class Conditional(Metric):
    """Mean absolute error and hit rate of conditional samples."""

    not_measured = frozenset({"parity"})

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        predictor: str | None = None
        """Run folder of a property predictor, or a delivered model; without it only composition and space group are
        judged."""
        tolerance: Mapping[str, float] = field(default_factory=dict)
        """Column -> distance within which a target counts as hit; the predictor's own test error where not given."""
        symprec: float = 0.1
        """Precision of space groups in angstrom."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Raises DataError where no sample has a condition that can be judged."""
        result: dict[str, Any] = {"asked": 0, "parity": {}, "columns": {}, "summary": [], "outcomes": {}}
        names = ids(context.bench, samples)
        targets = self._read_off(samples, names, result, context.bench)
        if self.config.predictor is not None:
            self._properties(samples, names, targets, result)
        else:
            result["not_judged"] = dict.fromkeys(targets, "option predictor is not set")
        if not result["columns"]:
            raise DataError(_nothing_judged(targets, self.config.predictor))
        result["protocol"] = {
            "predictor": self.config.predictor,
            "denominator": "hit rates: all samples asked for the property; errors: those that are crystals",
            "baseline": "the same samples, targets dealt out at random (mean over all pairs)",
        }
        return result

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """Hit rate of every property, and its error beside the predictor's own."""
        found = []
        for name, figures in result["columns"].items():
            words = f"samples with the {name.replace('_', ' ')} asked for"
            found.append(Figure.of_share(f"columns.{name}.hit", words, figures["hit"]))
            if figures.get("mae") is not None:
                own = short(figures["predictor_test_error"].get("mae"), 3)
                note = f"by chance {short(figures['mae_by_chance'], 3)}; the predictor's own {own}{_against_median(figures)}"
                found.append(Figure(f"columns.{name}.mae", f"MAE of {name}", figures["mae"], better="lower", note=note))
        return found

    @classmethod
    def sections(cls, result: Mapping[str, Any]) -> Sequence[Section]:
        """Requested against obtained."""
        charts = [
            Scatter(
                title=name, points=list(zip(pairs["target"], pairs["obtained"], strict=False)), x="asked for", y="obtained",
                note=pairs.get("note", ""),
            )
            for name, pairs in result["parity"].items()
        ]  # fmt: skip
        return [Section(name="Conditions", title="Requested against obtained", parts=charts)] if charts else []

    def _read_off(self, samples: Sequence[Sample], names: Sequence[str], result: dict[str, Any], bench: Workbench) -> list[str]:
        """Enter what the crystals themselves show; returns the properties that need a predictor."""
        hits = {name: np.full(len(samples), np.nan) for name in ("composition", "space_group")}
        targets = set[str]()
        for k, sample in enumerate(bench.track("conditional", samples, len(samples))):
            result["asked"] += bool(sample.condition)
            targets.update(name for name in sample.condition if _is_target(sample, name))
            if "composition" in sample.condition:
                hits["composition"][k] = _has_composition(sample)
            if any(name in sample.condition for name in _SPACE_GROUP):
                hits["space_group"][k] = _has_space_group(sample, self.config.symprec)
        for name, values in hits.items():
            if np.isfinite(values).any():
                self._record(result, name, PerSample(names, values))
        return sorted(targets)

    def _properties(
        self, samples: Sequence[Sample], names: Sequence[str], targets: Sequence[str], result: dict[str, Any]
    ) -> None:
        from crystalfw.core.sample.trained import Trained

        assert self.config.predictor is not None
        predictor = Trained.load(self.config.predictor)
        errors = _test_errors(located(self.config.predictor))
        wanted = {name: np.full(len(samples), np.nan) for name in targets}
        judgeable = np.zeros(len(samples), dtype=bool)
        for k, sample in enumerate(samples):
            judgeable[k] = bool(sample.condition) and sample.crystal is not None
            for name in (name for name in sample.condition if _is_target(sample, name)):
                wanted[name][k] = float(sample.condition[name])
        made = np.flatnonzero(judgeable)
        found = predictor.predict(Picked(samples, made, crystal_of))  # without a crystal: its columns, empty
        values = {name: np.full(len(samples), np.nan) for name in found}
        for name, predicted in found.items():
            values[name][made] = predicted
        result["not_judged"] = {name: "the predictor does not predict it" for name in targets if name not in values}
        for name in (name for name in targets if name in values):
            self._column(name, names, wanted[name], values[name], errors.get(name, {}), result)

    def _column(
        self,
        name: str,
        names: Sequence[str],
        target_S: FloatArray,
        value_S: FloatArray,
        error: Mapping[str, Any],
        result: dict[str, Any],
    ) -> None:
        """Enter a property: what was asked for and what was obtained, NaN where a sample has none."""
        if name not in self.config.tolerance and "mae" not in error:
            raise DataError(
                f"conditional: {self.config.predictor} has no test error for '{name}' in its metrics.json; "
                f"set tolerance: {{{name}: VALUE}}"
            )
        tolerance = float(self.config.tolerance.get(name, error.get("mae", math.nan)))
        distance = np.abs(value_S - target_S)
        judged = np.isfinite(distance)
        target, obtained = target_S[judged], value_S[judged]
        by_chance, hit_by_chance = dealt_out(target, obtained, tolerance)
        count, total = len(target), int(np.isfinite(target_S).sum())
        figures = {
            "mae": float(distance[judged].mean()) if count else None,
            "mae_by_chance": by_chance,
            "hit_by_chance": None if hit_by_chance is None else hit_by_chance * count / total,
            "tolerance": tolerance,
            "predictor_test_error": dict(error),
        }
        if _is_poor(error):
            result["summary"].append(f"conditional: warning: the predictor of {name} {_POOR.format(**_rounded(error))}")
        hits = np.where(np.isfinite(target_S), np.nan_to_num(distance, nan=np.inf) <= tolerance, np.nan)
        self._record(result, name, PerSample(names, hits), figures)
        result["outcomes"][f"columns.{name}.mae"] = PerSample(names, distance)
        note = f"predicted by {self.config.predictor}, test MAE {short(error.get('mae'), 3)}"
        shown = slice(None, _SHOWN_PAIRS)
        result["parity"][name] = {"target": target[shown].tolist(), "obtained": obtained[shown].tolist(), "note": note}

    def _record(self, result: dict[str, Any], name: str, hits: PerSample, figures: Mapping[str, Any] | None = None) -> None:
        """Enter a column: 1 or 0 for every sample that was asked for it."""
        figures, hit = dict(figures or {}), share(int(hits.values.sum()), len(hits.values))
        result["outcomes"][f"columns.{name}.hit"] = hits
        result["columns"][name] = {"hit": hit, **figures}
        line = f"{name}: hit {hit['count']} of {hit['of']}"
        if figures.get("mae") is not None:
            own = figures["predictor_test_error"].get("mae")
            line += f", MAE {figures['mae']:.3g} (by chance {figures['mae_by_chance']:.3g}; predictor's own {own or 'unknown'})"
        result["summary"].append(line)


def dealt_out(target_S: FloatArray, obtained_S: FloatArray, tolerance: float) -> tuple[float | None, float | None]:
    """Mean absolute error and hit rate over all pairs of a target and a value obtained; None without any.

    By sorting and summing up, because the table of all pairs would not fit in memory.
    """
    count = len(target_S)
    if not count:
        return None, None
    ordered = np.sort(target_S)
    below = np.searchsorted(ordered, obtained_S)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    distances = obtained_S * (2 * below - count) + sums[-1] - 2 * sums[below]
    near = np.searchsorted(ordered, obtained_S + tolerance, "right") - np.searchsorted(ordered, obtained_S - tolerance, "left")
    return float(distances.mean() / count), float(near.mean() / count)


def _has_composition(sample: Sample) -> bool:
    from pymatgen.core import Composition

    wanted = str(Composition(sample.condition["composition"]).reduced_formula)
    return sample.crystal is not None and sample.crystal.formula == wanted


def _has_space_group(sample: Sample, symprec: float) -> bool:
    wanted = next(int(sample.condition[name]) for name in _SPACE_GROUP if name in sample.condition)
    return sample.crystal is not None and space_group_number(sample.crystal, symprec) == wanted


def _is_target(sample: Sample, name: str) -> bool:
    value = sample.condition.get(name)
    special = name in ("composition", "spacegroup.number", "space_group", "like")
    return not special and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _test_errors(run_dir: Path) -> dict[str, dict[str, Any]]:
    """What the predictor's run measured on its own test part."""
    path = (run_dir if run_dir.is_dir() else run_dir.parent.parent) / "metrics.json"
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return dict(content.get("prediction", {}))
