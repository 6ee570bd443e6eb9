"""The report of an ablation: verdicts, means with intervals, paired differences, curves, all figures."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from crystalfw.core.evaluate.report.charts import Interval, Line, intervals, line_chart
from crystalfw.core.evaluate.report.gallery import gallery, pick
from crystalfw.core.evaluate.report.html import Markup, card, details, grid, join, page, section, table, tag, tile
from crystalfw.core.evaluate.report.run import read_run
from crystalfw.core.evaluate.report.sections import points
from crystalfw.core.evaluate.statistics import decision
from crystalfw.core.model.logbook import read_metrics
from crystalfw.core.presentation import short
from crystalfw.core.run.ablation.results import Result
from crystalfw.core.run.ablation.summary import Study

_COLOURS = 6
_LONGEST_TABLE = 2000
_FEW_SENTENCES = 6
_SHOWN_PER_CELL = 4


def write_study(study: Study, path: Path) -> Path:
    """Write the page and return its path."""
    path.write_text(render(study), encoding="utf-8")
    return path


def render(study: Study) -> str:
    """The page as text."""
    parts = [
        ("verdicts", "Verdicts", _verdicts(study)),
        ("means", "Means", _means(study)),
        ("differences", "Differences", _differences(study)),
        ("curves", "Curves", _curves(study)),
        ("crystals", "Crystals", _crystals(study)),
        ("cells", "Cells", _cells(study)),
        ("figures", "All numbers", _figures(study)),
    ]
    shown = [(id, name, content) for id, name, content in parts if content]
    written = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    subtitle = f"crystalfw ablation of {study.grid.base}, written {written}"
    body = [_trouble(study), *(content for _, _, content in shown)]
    return page(study.grid.name, subtitle, body, links=[(id, name) for id, name, _ in shown])


def _verdicts(study: Study) -> Markup:
    done = len({(result.cell, result.seed) for result in study.results})
    tiles = tag(
        "div",
        tile(short(len(study.cells)), "cells"),
        tile(short(len(study.grid.seeds)), "seeds each"),
        tile(short(done), "runs finished", f"of {len(study.cells) * len(study.grid.seeds)}"),
        tile(short(len(study.failures)), "runs failed"),
        class_="tiles",
    )
    lead = (
        f"Every cell against {study.cells[study.grid.baseline].name}, paired by seed and, where there are per-sample outcomes, "
        "by sample. Verdicts use Bonferroni-corrected confidence intervals."
    )
    if not study.verdicts:
        return section("verdicts", "What the runs say", tiles, tag("p", "Nothing to compare yet."), lead=lead)
    sentences = tag("ul", *(tag("li", line) for line in study.verdicts))
    few = len(study.verdicts) <= _FEW_SENTENCES
    words = details("In sentences, with intervals", sentences, open_=few)
    return section("verdicts", "What the runs say", tiles, _decisions(study), words, lead=lead)


def _decisions(study: Study) -> Markup:
    """Measures down, cells across: the word and the difference."""
    found = {(item.measure, item.cell): item for item in study.differences}
    cells = sorted({cell for _, cell in found})
    rows = []
    for measure in study.means:
        row = [f"{_named(study, measure)} ({study.grid.measures[measure]} is better)"]
        for cell in cells:
            item = found.get((measure, cell))
            row.append("" if item is None else f"{decision(item, study.grid.measures[measure])} {item.mean:+.3g}")
        rows.append(row)
    return tag("div", table(["", *(study.cells[cell].name for cell in cells)], rows), style="margin-top: 1rem")


def _means(study: Study) -> Markup:
    cards = []
    for measure, cells in study.means.items():
        rows = [
            Interval(study.cells[cell].name, mean.mean, mean.low, mean.high, mean.values, _colour(cell))
            for cell, mean in cells.items()
        ]
        note = f"{study.grid.measures[measure]} is better; dots are seeds, bars 95 % t intervals of the mean"
        cards.append(card(_named(study, measure), intervals(rows, f"{measure}: mean of every cell"), note=note))
    rows_all = [
        [study.cells[cell].name, measure, short(mean.mean), short(mean.low), short(mean.high), short(len(mean.values))]
        for measure, cells in study.means.items()
        for cell, mean in cells.items()
    ]
    header = ["cell", "measure", "mean", "low", "high", "seeds"]
    figures = details("The means as a table", table(header, rows_all))
    return section("means", "Means over seeds", grid(*cards), figures) if cards else Markup("")


def _differences(study: Study) -> Markup:
    cards = []
    for measure in study.means:
        items = [item for item in study.differences if item.measure == measure]
        if items:
            rows = [Interval(study.cells[i.cell].name, i.mean, i.low, i.high, (), _colour(i.cell)) for i in items]
            note = f"minus {study.cells[study.grid.baseline].name}; 95 %, by {items[0].method}"
            chart = intervals(rows, f"{measure}: difference to the baseline", zero=True)
            cards.append(card(_named(study, measure), chart, note=note))
    rows_all = [
        [study.cells[i.cell].name, i.measure, short(i.mean), short(i.low), short(i.high), i.seeds, i.items or "–", i.method]
        for i in study.differences
    ]
    header = ["cell", "measure", "difference", "low", "high", "seeds", "samples", "method"]
    figures = details("The differences as a table", table(header, rows_all))
    return section("differences", "Paired differences to the baseline", grid(*cards), figures) if cards else Markup("")


def _curves(study: Study) -> Markup:
    by_cell: dict[int, list[Result]] = {}
    for result in study.results:
        by_cell.setdefault(result.cell, []).append(result)
    lines = []
    for cell, results in sorted(by_cell.items()):
        for k, result in enumerate(sorted(results, key=lambda item: item.seed)):
            curve = points(read_metrics(result.run_dir / "metrics.csv"), "val_loss")
            lines.append(Line(study.cells[cell].name, curve, _colour(cell), faint=k > 0))
    lines = [line for line in lines if line.points]
    if not lines:
        return Markup("")
    chart = line_chart(lines, "step", "nats per token", "Validation loss of every run")
    return section("curves", "Validation losses", grid(card("Validation loss, one curve per run", chart)))


def _crystals(study: Study) -> Markup:
    """A few crystals of every cell's first seed."""
    picks = []
    for index, cell in enumerate(study.cells):
        found = next((result for result in study.results if result.cell == index), None)
        if found is not None:
            run = read_run(found.run_dir)
            picks += [
                replace(item, origin=cell.name) for item in pick(run.samples, preferred=run.examples, count=_SHOWN_PER_CELL)
            ]
    return gallery(picks) if picks else Markup("")


def _reports(study: Study, cell: int) -> Markup:
    """Links to the reports of a cell's runs, beside this page."""
    links = [
        tag("a", f"seed {result.seed}", href=f"runs/{result.run_dir.parent.name}/run/report.html")
        for result in study.results
        if result.cell == cell
    ]
    return join(part for link in links for part in (link, Markup(" ")))


def _cells(study: Study) -> Markup:
    rows = []
    for index, cell in enumerate(study.cells):
        found = next((result for result in study.results if result.cell == index), None)
        parameters = short(found.figures.get("parameters")) if found else "–"
        settings = tag("code", " ".join(cell.overrides()))
        mark = " (baseline)" if index == study.grid.baseline else ""
        rows.append([cell.name + mark, parameters, _reports(study, index), settings])
    lead = f"Recipe {study.grid.base} with these overrides; seeds {', '.join(map(str, study.grid.seeds))}."
    return section("cells", "Cells", table(["cell", "parameters", "reports", "overrides"], rows), lead=lead)


def _figures(study: Study) -> Markup:
    rows: list[list[Any]] = [
        [study.cells[result.cell].name, result.seed, measure, short(value, 6)]
        for result in study.results
        for measure, value in sorted(result.figures.items())
    ][:_LONGEST_TABLE]
    if not rows:
        return Markup("")
    whole = details("Every figure of every run", table(["cell", "seed", "measure", "value"], rows))
    return section("figures", "All numbers", whole, lead="Complete in ablation.csv beside this page.")


def _trouble(study: Study) -> Markup:
    lines: list[Markup] = [tag("p", warning) for warning in study.warnings]
    for job, log in study.failures:
        lines.append(tag("p", tag("b", f"failed: {study.cells[job.cell].name}, seed {job.seed}"), tag("pre", log)))
    return tag("div", *lines, class_="missing") if lines else Markup("")


def _named(study: Study, measure: str) -> str:
    """The measure in its metric's words, with the name that grids and tables know it by."""
    words = study.words.get(measure)
    return measure if words is None else f"{words[:1].upper()}{words[1:]} · {measure}"


def _colour(index: int) -> int:
    return index % _COLOURS + 1
