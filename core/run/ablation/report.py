"""The report of an ablation: a plain table, answers side by side, then statistics, curves, crystals and all numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from crystalfw.core.drawing.markup import Markup, join, tag
from crystalfw.core.evaluate.report.charts import Line, line_chart
from crystalfw.core.evaluate.report.gallery import balls_of, gallery
from crystalfw.core.evaluate.report.html import card, details, grid, page, section, table
from crystalfw.core.evaluate.report.run_files import RunFiles, read_run
from crystalfw.core.evaluate.report.samples import Pick, pick
from crystalfw.core.evaluate.report.sections import points
from crystalfw.core.presentation import short
from crystalfw.core.run.ablation import comparisons, overview
from crystalfw.core.run.ablation.comparisons import colour
from crystalfw.core.run.ablation.results import Result
from crystalfw.core.run.ablation.summary import Study

_LONGEST_TABLE = 2000
_SHOWN_PER_VARIANT = 4


def write_study(study: Study, path: Path) -> Path:
    """Write the page and return its path."""
    path.write_text(render(study), encoding="utf-8")
    return path


def render(study: Study) -> str:
    """The page as text."""
    runs = {index: read_run(result.run_dir) for index, result in _first_runs(study).items()}
    given, picks = overview.answers_by_variant(runs), _picks(study, runs)
    parts = [
        ("results", "Results", overview.results_table(study, given)),
        ("answers", "Asked", overview.asked_rows(study, given)),
        ("verdicts", "Verdicts", comparisons.verdicts(study)),
        ("means", "Means", comparisons.means(study)),
        ("differences", "Differences", comparisons.differences(study)),
        ("curves", "Curves", _curves(study, runs)),
        ("crystals", "Crystals", gallery(picks) if picks else Markup("")),
        ("variants", "Variants", _variants(study)),
        ("figures", "All numbers", _figures(study)),
    ]
    shown = [(id, name, content) for id, name, content in parts if content]
    written = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    subtitle = f"crystalfw ablation of {study.grid.base}, written {written}"
    balls = balls_of([*overview.crystals_of(given), *(item.crystal for item in picks)])
    body = [_trouble(study), balls, *(content for _, _, content in shown)]
    return page(study.grid.name, subtitle, body, links=[(id, name) for id, name, _ in shown])


def _first_runs(study: Study) -> dict[int, Result]:
    """Variant -> its finished run with the first seed."""
    found: dict[int, Result] = {}
    for result in sorted(study.results, key=lambda item: study.grid.seeds.index(item.seed)):
        found.setdefault(result.cell, result)
    return dict(sorted(found.items()))


def _curves(study: Study, runs: Mapping[int, RunFiles]) -> Markup:
    lines = []
    order = {seed: k for k, seed in enumerate(study.grid.seeds)}
    for result in sorted(study.results, key=lambda item: (item.cell, order[item.seed])):
        first = result.run_dir == _first_runs(study)[result.cell].run_dir
        curves = runs[result.cell].curves if first else read_run(result.run_dir).curves
        lines.append(Line(study.cells[result.cell].name, points(curves, "val_loss"), colour(result.cell), faint=not first))
    lines = [line for line in lines if line.points]
    if not lines:
        return Markup("")
    units = {run.loss_unit for run in runs.values()}
    chart = line_chart(lines, "step", units.pop() if len(units) == 1 else "", "Validation loss of every run")
    return section("curves", "Validation losses", grid(card("Validation loss, one curve per run", chart)))


def _picks(study: Study, runs: Mapping[int, RunFiles]) -> list[Pick]:
    """A few crystals of every variant's first seed."""
    return [
        replace(item, origin=study.cells[index].name)
        for index, run in runs.items()
        for item in pick(run.samples, preferred=run.examples, count=_SHOWN_PER_VARIANT)
    ]


def _reports(study: Study, index: int) -> Markup:
    """Links to the reports of a variant's runs, beside this page."""
    links = [
        tag("a", f"seed {result.seed}", href=f"runs/{result.run_dir.parent.name}/run/report.html")
        for result in study.results
        if result.cell == index
    ]
    return join(part for link in links for part in (link, Markup(" ")))


def _variants(study: Study) -> Markup:
    rows = []
    for index, cell in enumerate(study.cells):
        settings = tag("code", " ".join(cell.overrides()))
        mark = " (baseline)" if index == study.grid.baseline else ""
        rows.append([cell.name + mark, _reports(study, index), settings])
    lead = f"Recipe {study.grid.base} with these overrides; seeds {', '.join(map(str, study.grid.seeds))}."
    return section("variants", "Variants", table(["variant", "reports", "overrides"], rows), lead=lead)


def _figures(study: Study) -> Markup:
    rows: list[list[Any]] = [
        [study.cells[result.cell].name, result.seed, measure, short(value, 6)]
        for result in study.results
        for measure, value in sorted(result.figures.items())
    ][:_LONGEST_TABLE]
    if not rows:
        return Markup("")
    whole = details("Every number of every run", table(["variant", "seed", "measure", "value"], rows))
    return section("figures", "All numbers", whole, lead="Complete in ablation.csv beside this page.")


def _trouble(study: Study) -> Markup:
    lines: list[Markup] = [tag("p", warning) for warning in study.warnings]
    for job, log in study.failures:
        lines.append(tag("p", tag("b", f"failed: {study.cells[job.cell].name}, seed {job.seed}"), tag("pre", log)))
    return tag("div", *lines, class_="missing") if lines else Markup("")
