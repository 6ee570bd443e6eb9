"""The results of a study in tables: means, intervals, what was not equal, what was not measured."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from crystalfw.core.evaluate.statistics import Difference, Mean, compare, mean_over_seeds, verdict
from crystalfw.core.presentation import PERCENT, Figure, short
from crystalfw.core.run.ablation.grid import Cell, Grid
from crystalfw.core.run.ablation.jobs import Job
from crystalfw.core.run.ablation.results import Result, collect, words_of, write_tidy

_TOKENS_WITHIN = 0.02
_LOSS = "val_loss"


@dataclass(frozen=True)
class Study:
    """What an ablation found; `core/run/ablation/report.py` shows it."""

    grid: Grid
    cells: tuple[Cell, ...]
    results: tuple[Result, ...]
    failures: tuple[tuple[Job, str], ...]
    """Failed runs with the end of their logs."""
    means: dict[str, dict[int, Mean]]
    """Measure -> cell -> figure over seeds."""
    differences: tuple[Difference, ...]
    verdicts: tuple[str, ...]
    warnings: tuple[str, ...]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """Measure -> what it is in words, with its unit, where its metric says so; of the first run that measured it."""

    def words(self, measure: str) -> str:
        """What the measure is, in words."""
        return _in_words(measure, self.figures)

    def is_share(self, measure: str) -> bool:
        """Is the measure a share, shown as a percentage?"""
        return measure in self.figures and self.figures[measure].unit == PERCENT

    def text(self, measure: str, value: float | None) -> str:
        """A value of the measure as its metric writes it."""
        figure = self.figures.get(measure)
        return short(value) if figure is None else replace(figure, value=value).number


def summarise(grid: Grid, cells: Sequence[Cell], jobs: Sequence[Job]) -> Study:
    """Means, differences and verdicts over the finished runs."""
    results = collect(jobs)
    measured = {name for result in results for name in result.figures}
    headline = {name: figure for result in results for name, figure in result.headline.items()}
    wanted = grid.measures or {_LOSS: "lower", **{name: figure.better for name, figure in headline.items() if figure.better}}
    measures = {name: better for name, better in wanted.items() if name in measured}
    means = {name: _means(results, name) for name in measures}
    differences = [item for name in measures for item in compare(results, grid.baseline, name)]
    baseline = cells[grid.baseline].name
    figures = {name: figure for result in results for name, figure in words_of(result.run_dir).items()} if results else {}
    verdicts = [
        verdict(item, cells[item.cell].name, baseline, measures[item.measure], _in_words(item.measure, figures))
        for item in differences
    ]
    failures = tuple((job, job.failure) for job in jobs if job.failure)
    warnings = [*_unequal(grid, cells, results), *_unmeasured(grid, measured), *_failed_metrics(cells, results)]
    return Study(
        replace(grid, measures=measures), tuple(cells), tuple(results), failures, means,
        tuple(differences), tuple(verdicts), tuple(warnings), figures,
    )  # fmt: skip


def write_tables(study: Study, folder: Path) -> None:
    """ablation.csv (tidy), summary.csv (mean and interval), comparisons.csv (paired differences)."""
    if study.results:
        write_tidy(study.results, study.cells, folder / "ablation.csv")
    with (folder / "summary.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["cell", "measure", "mean", "low", "high", "seeds"])
        for measure, cells in study.means.items():
            for cell, mean in cells.items():
                writer.writerow([study.cells[cell].name, measure, mean.mean, mean.low, mean.high, len(mean.values)])
    with (folder / "comparisons.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["cell", "baseline", "measure", "difference", "low", "high", "seeds", "samples", "method", "verdict"])
        baseline = study.cells[study.grid.baseline].name
        for item, words in zip(study.differences, study.verdicts, strict=True):
            row = [study.cells[item.cell].name, baseline, item.measure, item.mean, item.low, item.high]
            writer.writerow([*row, item.seeds, item.items, item.method, words])


def _in_words(measure: str, figures: Mapping[str, Figure]) -> str:
    if measure == _LOSS:
        return "validation loss"
    figure = figures.get(measure)
    return measure.replace("_", " ").replace(".", ", ") if figure is None else figure.label


def _means(results: Sequence[Result], measure: str) -> dict[int, Mean]:
    values: dict[int, list[float]] = {}
    for result in results:
        if measure in result.figures:
            values.setdefault(result.cell, []).append(result.figures[measure])
    return {cell: mean_over_seeds(found) for cell, found in sorted(values.items())}


def _unequal(grid: Grid, cells: Sequence[Cell], results: Sequence[Result]) -> list[str]:
    """What was to be equal and is not."""
    checks = [("parameters", grid.equal_parameters.within)] if grid.equal_parameters else []
    checks += [("tokens", _TOKENS_WITHIN)] if grid.equal_tokens else []
    warnings = []
    for name, within in checks:
        means = {cell: mean.mean for cell, mean in _means(results, name).items()}
        if means and max(means.values()) - min(means.values()) > 2 * within * min(means.values()):
            listing = ", ".join(f"{cells[cell].name} {value:,.0f}" for cell, value in means.items())
            warnings.append(f"{name} were to be equal within {within:.0%} and are not: {listing}")
    return warnings


def _unmeasured(grid: Grid, measured: set[str]) -> list[str]:
    return [f"no run measured '{name}'" for name in grid.measures if measured and name not in measured]


def _failed_metrics(cells: Sequence[Cell], results: Sequence[Result]) -> list[str]:
    """A mean over fewer seeds than were run must not pass for one over all."""
    return [
        f"{cells[result.cell].name}, seed {result.seed}: the metric '{name}' gave nothing: {reason}"
        for result in results
        for name, reason in result.errors.items()
    ]
