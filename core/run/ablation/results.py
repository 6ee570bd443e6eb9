"""Results of finished runs: figures as a tidy table, and per-sample outcomes for paired comparisons."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crystalfw.core.evaluate.measured import errors_of, figures_of_metrics, headline_of, outcomes_of, read_json
from crystalfw.core.evaluate.presented import presented
from crystalfw.core.model.logbook import read_metrics
from crystalfw.core.presentation import Bars, Figure
from crystalfw.core.run.ablation.grid import Cell
from crystalfw.core.run.ablation.jobs import Job


@dataclass(frozen=True)
class Result:
    """One finished run."""

    cell: int
    seed: int
    run_dir: Path
    figures: Mapping[str, float]
    """Measure -> value: val_loss, and `NAME.KEY` for the measures of the metric called NAME."""
    outcomes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Measure -> sample or reference id -> value, for measures that are means over samples."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """Metric -> why it gave nothing."""
    headline: Mapping[str, Figure] = field(default_factory=dict)
    """Measure -> the figure in its metric's words, for those that the metric shows first."""


def collect(jobs: Sequence[Job]) -> list[Result]:
    """What the finished runs measured."""
    return [
        Result(
            job.cell, job.seed, job.run_dir, figures_of(job.run_dir), outcomes_of(job.run_dir), errors_of(job.run_dir),
            headline_of(job.run_dir),
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
    parameters = read_json(run_dir / "provenance.json").get("parameters", {})
    if isinstance(parameters, Mapping) and "total" in parameters:
        figures["parameters"] = float(parameters["total"])
    figures.update(figures_of_metrics(run_dir))
    for column, errors in read_json(run_dir / "metrics.json").get("prediction", {}).items():
        figures.update({f"prediction.{column}.{name}": float(value) for name, value in errors.items()})
    return figures


def words_of(run_dir: Path) -> dict[str, Figure]:
    """Every measure of the run that its metrics put into words, as a figure with label and unit."""
    found = headline_of(run_dir)
    for item in presented(read_json(run_dir / "metrics.json")):
        bars = (part for declared in item.sections() for part in declared.parts if isinstance(part, Bars))
        for figure in (figure for part in bars for figure in part.figures):
            found.setdefault(f"{item.name}.{figure.key}", figure)
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
