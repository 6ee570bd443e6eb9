"""Results of finished runs: figures as a tidy table, and per-sample outcomes for paired comparisons."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crystalfw.core.model.logbook import read_metrics
from crystalfw.core.run.ablation.grid import Cell
from crystalfw.core.run.ablation.jobs import Job

_LEFT_OUT = frozenset(
    {"protocol", "histograms", "parity", "examples", "elements", "failures", "comparisons", "summary", "trouble"}
)


@dataclass(frozen=True)
class Result:
    """One finished run."""

    cell: int
    seed: int
    run_dir: Path
    figures: Mapping[str, float]
    """Measure -> value, e.g. val_loss, shares.novel, match.loose.n=1, match.loose.n=1.rmse."""
    outcomes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Measure -> sample or reference id -> value, for measures that are means over samples."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """Metric -> why it gave nothing."""


def collect(jobs: Sequence[Job]) -> list[Result]:
    """What the finished runs measured."""
    return [
        Result(
            job.cell, job.seed, job.run_dir, figures_of(job.run_dir), outcomes_of(job.run_dir), errors_of(job.run_dir)
        ) for job in jobs if job.done
    ]  # fmt: skip


def figures_of(run_dir: Path) -> dict[str, float]:
    """Every number that a run folder offers."""
    curves = read_metrics(run_dir / "metrics.csv")
    figures = {}
    losses = [value for value in curves.get("val_loss", []) if math.isfinite(value)]
    if losses:
        figures["val_loss"] = min(losses)
    for name, label in (("tokens", "tokens"), ("step", "steps"), ("elapsed_s", "seconds")):
        values = [value for value in curves.get(name, []) if math.isfinite(value)]
        if values:
            figures[label] = values[-1]
    parameters = _json(run_dir / "provenance.json").get("parameters", {})
    if isinstance(parameters, Mapping) and "total" in parameters:
        figures["parameters"] = float(parameters["total"])
    metrics = _json(run_dir / "metrics.json")
    for name, item in metrics.get("metrics", {}).items():
        figures.update(_metric_figures(name, item.get("result", {})))
    for column, errors in metrics.get("prediction", {}).items():
        figures.update({f"prediction.{column}.{name}": float(value) for name, value in errors.items()})
    return figures


def errors_of(run_dir: Path) -> dict[str, str]:
    """Metrics of the run that gave nothing, with the reason."""
    metrics = _json(run_dir / "metrics.json").get("metrics", {})
    return {name: str(item["error"]) for name, item in metrics.items() if item.get("error")}


def outcomes_of(run_dir: Path) -> dict[str, dict[str, float]]:
    """Per-sample values from outcomes.csv."""
    path = run_dir / "outcomes.csv"
    found: dict[str, dict[str, float]] = {}
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found.setdefault(f"{row['metric']}.{row['measure']}", {})[row["id"]] = float(row["value"])
    return found


def write_tidy(results: Sequence[Result], cells: Sequence[Cell], path: Path) -> None:
    """One row per cell, seed and measure, with a column per axis."""
    axes = list(cells[0].values)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*axes, "seed", "measure", "value", "run"])
        for result in results:
            values = [cells[result.cell].values[axis] for axis in axes]
            for measure, value in sorted(result.figures.items()):
                writer.writerow([*values, result.seed, measure, repr(value), result.run_dir])


def _metric_figures(name: str, result: Mapping[str, Any]) -> dict[str, float]:
    figures = {f"{name}.{link['stage']}": float(link["share"]) for link in result.get("chain", []) if link["share"] is not None}
    for key, value in result.items():
        if key not in _LEFT_OUT and key != "chain":
            _flatten(f"{name}.{key}", value, figures)
    return figures


def _flatten(path: str, value: Any, figures: dict[str, float]) -> None:
    if isinstance(value, Mapping):
        if {"count", "of", "share"} <= set(value):
            # a share is its own figure; count, denominator and interval follow from it
            if value["share"] is not None:
                figures[path] = float(value["share"])
            value = {key: item for key, item in value.items() if key not in ("count", "of", "share", "low", "high")}
        for key, item in value.items():
            if key not in _LEFT_OUT:
                _flatten(f"{path}.{key}", item, figures)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        figures[path] = float(value)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
