"""Target against value obtained: does a sample have what it was asked for?

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
from crystalfw.core.interfaces import Metric, Sample
from crystalfw.core.samples import space_group_number
from crystalfw.plugins.metrics.geometry import share

_SHOWN_PAIRS = 2000


class Conditional(Metric):
    """Mean absolute error and hit rate of conditional samples."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        predictor: str | None = None
        """Run folder of a property predictor; without it only composition and space group are judged."""
        tolerance: Mapping[str, float] = field(default_factory=dict)
        """Column -> distance within which a target counts as hit; the predictor's own test error where not given."""
        symprec: float = 0.1
        """Precision of space groups in angstrom."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: Mapping[str, Any]) -> dict[str, Any]:
        """Raises DataError where no sample has a condition that can be judged."""
        asked = [sample for sample in samples if sample.condition]
        result: dict[str, Any] = {"asked": len(asked), "parity": {}, "columns": {}, "summary": [], "outcomes": {}}
        self._composition(asked, result)
        self._space_group(asked, result)
        targets = sorted({name for sample in asked for name in sample.condition if _is_target(sample, name)})
        if self.config.predictor is not None:
            self._properties(asked, targets, result)
        else:
            result["not_judged"] = dict.fromkeys(targets, "option predictor is not set")
        if not result["columns"]:
            raise DataError("conditional: no sample was asked for a composition, a space group or a predictable property")
        result["protocol"] = {
            "predictor": self.config.predictor,
            "denominator": "hit rates: all samples asked for the property; errors: those that are crystals",
            "baseline": "the same samples, targets dealt out at random (mean over all pairs)",
        }
        return result

    def _composition(self, asked: Sequence[Sample], result: dict[str, Any]) -> None:
        from pymatgen.core import Composition

        wanted = [sample for sample in asked if "composition" in sample.condition]
        if not wanted:
            return
        obtained = [sample.crystal.formula if sample.crystal is not None else None for sample in wanted]
        formulas = [str(Composition(sample.condition["composition"]).reduced_formula) for sample in wanted]
        hits = {sample.id: one == other for sample, one, other in zip(wanted, obtained, formulas, strict=True)}
        self._record(result, "composition", hits)

    def _space_group(self, asked: Sequence[Sample], result: dict[str, Any]) -> None:
        names = ("spacegroup.number", "space_group")
        wanted = [(sample, next((name for name in names if name in sample.condition), "")) for sample in asked]
        wanted = [(sample, name) for sample, name in wanted if name]
        if not wanted:
            return
        hits = {}
        for sample, name in wanted:
            crystal, target = sample.crystal, int(sample.condition[name])
            hits[sample.id] = crystal is not None and space_group_number(crystal, self.config.symprec) == target
        self._record(result, "space_group", hits)

    def _properties(self, asked: Sequence[Sample], targets: Sequence[str], result: dict[str, Any]) -> None:
        from crystalfw.core.trained import Trained

        assert self.config.predictor is not None
        predictor = Trained.load(self.config.predictor)
        errors = _test_errors(Path(self.config.predictor))
        made = [sample for sample in asked if sample.crystal is not None]
        values = predictor.predict([sample.crystal for sample in made if sample.crystal is not None]) if made else {}
        result["not_judged"] = {name: "the predictor does not predict it" for name in targets if name not in values}
        for name in (name for name in targets if name in values):
            kept = [k for k, sample in enumerate(made) if _is_target(sample, name)]
            target = np.array([float(made[k].condition[name]) for k in kept])
            obtained = np.asarray(values[name], dtype=np.float64)[kept]
            ids = [made[k].id for k in kept]
            everyone = [sample.id for sample in asked if _is_target(sample, name)]
            self._column(name, target, dict(zip(ids, obtained, strict=True)), everyone, errors.get(name, {}), result)

    def _column(
        self,
        name: str,
        target: FloatArray,
        values: Mapping[str, float],
        everyone: Sequence[str],
        error: Mapping[str, Any],
        result: dict[str, Any],
    ) -> None:
        """`values`: sample id -> value obtained, in the order of `target`; `everyone`: the ids of all that were asked."""
        if name not in self.config.tolerance and "mae" not in error:
            raise DataError(
                f"conditional: {self.config.predictor} has no test error for '{name}' in its metrics.json; "
                f"set tolerance: {{{name}: VALUE}}"
            )
        tolerance = float(self.config.tolerance.get(name, error.get("mae", math.nan)))
        obtained, total = np.array(list(values.values()), dtype=np.float64), len(everyone)
        distance, by_chance = np.abs(obtained - target), np.abs(obtained[:, None] - target[None])
        near = dict(zip(values, (distance <= tolerance).tolist(), strict=True))
        figures = {
            "mae": float(distance.mean()) if len(distance) else None,
            "mae_by_chance": float(by_chance.mean()) if len(distance) else None,
            "hit_by_chance": float((by_chance <= tolerance).mean() * len(distance) / total) if len(distance) else None,
            "tolerance": tolerance,
            "predictor_test_error": dict(error),
        }
        self._record(result, name, {id: near.get(id, False) for id in everyone}, figures)
        result["outcomes"][f"columns.{name}.mae"] = dict(zip(values, distance.tolist(), strict=True))
        pairs = np.stack([target, obtained], axis=1)[:_SHOWN_PAIRS]
        note = f"predicted by {self.config.predictor}, test MAE {error.get('mae', 'unknown')}"
        result["parity"][name] = {"target": pairs[:, 0].tolist(), "obtained": pairs[:, 1].tolist(), "note": note}

    def _record(
        self, result: dict[str, Any], name: str, hits: Mapping[str, bool], figures: Mapping[str, Any] | None = None
    ) -> None:
        """Enter a column: sample id -> hit, every sample that was asked for it."""
        figures, hit = dict(figures or {}), share(sum(hits.values()), len(hits))
        result["outcomes"][f"columns.{name}.hit"] = {id: float(hit) for id, hit in hits.items()}
        result["columns"][name] = {"hit": hit, **figures}
        line = f"{name}: hit {hit['count']} of {hit['of']}"
        if figures.get("mae") is not None:
            own = figures["predictor_test_error"].get("mae")
            line += f", MAE {figures['mae']:.3g} (by chance {figures['mae_by_chance']:.3g}; predictor's own {own or 'unknown'})"
        result["summary"].append(line)


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
