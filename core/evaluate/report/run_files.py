"""The files of a run or an evaluation, read once for its page; what is missing or damaged is named."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.evaluate.asked import read_asked
from crystalfw.core.evaluate.presented import Presented, presented
from crystalfw.core.presentation import Verdict
from crystalfw.core.system.variants import variant_title

_WANTED = {
    "recipe.yaml": "the recipe",
    "metrics.csv": "training curves; `crystalfw run` writes it",
    "samples.csv": "samples; `crystalfw sample` writes it",
    "metrics.json": "metrics; `crystalfw evaluate` writes it",
    "provenance.json": "versions and seeds",
}


@dataclass(frozen=True)
class RunFiles:
    """What a run folder holds, read once; empty where a file is missing."""

    name: str
    recipe: str = ""
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    predictions: Sequence[Mapping[str, str]] = ()
    samples: Path | None = None
    asked: Mapping[str, Crystal] = field(default_factory=dict)
    """Id -> crystal that samples were made for, as far as asked.csv has them."""
    is_evaluation: bool = False
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def results(self) -> Sequence[Presented]:
        """What the metrics gave."""
        return presented(self.metrics)

    @property
    def verdicts(self) -> Mapping[str, Verdict]:
        """Sample id -> is it what was asked for, of the first metric that says so."""
        found: dict[str, Verdict] = {}
        for item in self.results:
            told = item.result.get("verdicts")
            for id, said in told.items() if isinstance(told, Mapping) else ():
                if isinstance(said, Mapping) and {"good", "text"} <= set(said):
                    found.setdefault(id, Verdict(good=bool(said["good"]), text=str(said["text"])))
        return found

    @property
    def loss_unit(self) -> str:
        """The unit of the losses in metrics.csv; empty where neither provenance nor the columns tell."""
        tokens = any(value > 0 for value in self.curves.get("tokens", ()))
        return str(self.provenance.get("loss_unit", "nats per token" if tokens else ""))

    @property
    def examples(self) -> Sequence[str]:
        """Ids of samples that a metric wants shown first."""
        return tuple(id for item in self.results for id in item.result.get("examples", ()))


def read_run(run_dir: Path, *, samples: Path | None = None) -> RunFiles:
    """Read the folder of a run, or of an evaluation of `samples` that lie elsewhere.

    A run's file that is missing, and any that is damaged, is named in `missing`.
    """
    is_evaluation = samples is not None and not (run_dir / "recipe.yaml").is_file()
    missing = {} if is_evaluation else {name: what for name, what in _WANTED.items() if not (run_dir / name).is_file()}
    texts = {name: _text(run_dir / name, missing) for name in ("recipe.yaml", "metrics.csv")}
    curves = _columns(texts["metrics.csv"])
    table = samples if samples is not None else run_dir / "samples.csv"
    predictions = _rows(run_dir / "predictions.csv")
    if table.exists() or predictions:  # a model that predicts makes no samples
        missing.pop("samples.csv", None)
    return RunFiles(
        name=_title(run_dir, samples if is_evaluation else None),
        recipe=texts["recipe.yaml"],
        curves=curves,
        metrics=_json(run_dir / "metrics.json", missing),
        provenance=_json(run_dir / "provenance.json", missing),
        predictions=predictions,
        samples=table if table.exists() else None,
        asked=read_asked(run_dir / "asked.csv"),
        is_evaluation=is_evaluation,
        missing=missing,
    )


def _title(run_dir: Path, samples: Path | None) -> str:
    """`Evaluation of FOLDER`; `cross attention, seed 0 (demo)` for a run of a grid; otherwise the folder's name."""
    if samples is not None:
        place = samples.resolve()
        return f"Evaluation of {place.parent.name if place.name == 'samples.csv' else place.name}"
    run_dir = run_dir.resolve()
    return variant_title(run_dir.parent) or run_dir.name


def _text(path: Path, missing: dict[str, str]) -> str:
    if not path.is_file():
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        missing[path.name] = f"it cannot be read: {error}"
        return ""


def _json(path: Path, missing: dict[str, str]) -> Mapping[str, Any]:
    content = _text(path, missing)
    if not content:
        return {}
    try:
        value = json.loads(content)
    except ValueError as error:
        missing[path.name] = f"it cannot be read: {error}"
        return {}
    return value if isinstance(value, Mapping) else {}


def _columns(content: str) -> dict[str, list[float]]:
    """Columns of metrics.csv as numbers, NaN where empty."""
    rows = list(csv.DictReader(content.splitlines()))
    names = [name for name in (rows[0] if rows else {}) if name]
    return {name: [_number(row.get(name)) for row in rows] for name in names}


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(value: str | None) -> float:
    try:
        return float(value or "nan")
    except ValueError:
        return math.nan
