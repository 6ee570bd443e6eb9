"""Several runs side by side: validation curves, shares, match rates, in one table and a few pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from crystalfw.core.drawing.markup import Markup, join, tag, text
from crystalfw.core.evaluate.presented import Presented
from crystalfw.core.evaluate.report.charts import Line, line_chart, smoothed
from crystalfw.core.evaluate.report.gallery import balls_of, gallery
from crystalfw.core.evaluate.report.html import card, grid, page, section, table
from crystalfw.core.evaluate.report.parts import figure_bars, identifier
from crystalfw.core.evaluate.report.run_files import RunFiles, read_run
from crystalfw.core.evaluate.report.samples import pick
from crystalfw.core.evaluate.report.sections import best, points
from crystalfw.core.presentation import Bars, Figure, short

_COLOURS = 6
_SHOWN_PER_RUN = 6


def write_comparison(run_dirs: Sequence[str | Path], out: str | Path, *, title: str = "Runs side by side") -> Path:
    """Write one page over several run folders to `out` (a file, or a folder that gets comparison.html); returns its path."""
    runs = [read_run(Path(run_dir)) for run_dir in run_dirs]
    path = Path(out)
    if path.suffix != ".html":
        path = path / "comparison.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(runs, title), encoding="utf-8")
    return path


def render(runs: Sequence[RunFiles], title: str) -> str:
    """The page as text."""
    picks = [
        replace(item, origin=run.name)
        for run in runs
        for item in pick(run.samples, preferred=run.examples, count=_SHOWN_PER_RUN)
    ]
    results = [run.results for run in runs]
    parts = [
        ("table", "Figures", _table(runs, results)),
        ("curves", "Training", _curves(runs)),
        *_bars(runs, results),
        ("crystals", "Crystals", gallery(picks) if picks else Markup("")),
    ]
    shown = [(id, name, content) for id, name, content in parts if content]
    written = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    links = [(id, name) for id, name, _ in shown]
    subtitle = f"{len(runs)} crystalfw runs, written {written}"
    return page(
        title,
        subtitle,
        [_missing(runs), balls_of(item.crystal for item in picks), *(content for _, _, content in shown)],
        links=links,
    )


def _table(runs: Sequence[RunFiles], results: Sequence[Sequence[Presented]]) -> Markup:
    """A row per run; a column for every headline figure that a run has."""
    figures = [{(item.name, figure.key): figure for item in found for figure in item.headline()} for found in results]
    labels = {key: figure.label for row in figures for key, figure in row.items()}
    names = [label if list(labels.values()).count(label) == 1 else f"{label} ({key[0]})" for key, label in labels.items()]
    columns = ["run", "parameters", "best validation loss", "steps", "samples", *names]
    rows = [[*_row(run), *(_cell(row.get(key)) for key in labels)] for run, row in zip(runs, figures, strict=True)]
    lead = "Figures of one protocol share a row's column; open a run's own report for its protocol and settings."
    return section("table", "Figures", table(columns, rows), lead=lead)


def _row(run: RunFiles) -> list[Any]:
    lowest = best(run.curves)
    parameters = run.provenance.get("parameters", {})
    total = parameters.get("total", sum(parameters.values())) if isinstance(parameters, Mapping) else parameters
    steps = [x for x, _ in points(run.curves, "loss")]
    return [
        run.name,
        short(total) if total else "–",
        "–" if lowest is None else short(lowest[1]),
        short(steps[-1]) if steps else "–",
        short(run.metrics.get("samples", {}).get("count")),
    ]


def _cell(figure: Figure | None) -> Markup:
    if figure is None or figure.value is None:
        return Markup("–")
    below = tag("small", figure.interval) if figure.interval else Markup("")
    return join([text(figure.text), *([Markup("<br>"), below] if below else [])])


def _curves(runs: Sequence[RunFiles]) -> Markup:
    cards = []
    units = {run.loss_unit for run in runs if run.curves}
    unit = units.pop() if len(units) == 1 else ""  # runs of different decoders: no common unit
    for name, title in (("val_loss", "Validation loss"), ("loss", "Training loss (running median)")):
        smooth = smoothed if name != "val_loss" else list
        curves = [(run.name, smooth(points(run.curves, name)), _colour(k)) for k, run in enumerate(runs)]
        lines = [Line(*curve) for curve in curves if curve[1]]
        if lines:
            cards.append(card(title, line_chart(lines, "step", unit, f"{title} of every run")))
    return section("curves", "Training", grid(*cards)) if cards else Markup("")


def _bars(runs: Sequence[RunFiles], results: Sequence[Sequence[Presented]]) -> list[tuple[str, str, Markup]]:
    """A section for every bar chart of the metrics: a card for every bar, a bar for every run."""
    charts: dict[str, dict[str, list[tuple[str, Figure, int]]]] = {}
    notes: dict[str, str] = {}
    for k, (run, found) in enumerate(zip(runs, results, strict=True)):
        for part in (part for item in found for declared in item.sections() for part in declared.parts):
            if isinstance(part, Bars):
                notes.setdefault(part.title, part.note)
                for figure in part.figures:
                    row = (run.name, replace(figure, note=figure.interval), _colour(k))
                    charts.setdefault(part.title, {}).setdefault(figure.label, []).append(row)
    return [(f"bars-{identifier(title)}", title, _bar_section(title, cards, notes[title])) for title, cards in charts.items()]


def _bar_section(title: str, rows: Mapping[str, list[tuple[str, Figure, int]]], note: str) -> Markup:
    cards = [card(label.capitalize(), figure_bars(found, f"{title}, {label}: every run")) for label, found in rows.items()]
    return section(f"bars-{identifier(title)}", title, grid(*cards), lead=f"{note} In brackets: 95 % intervals.".strip())


def _missing(runs: Sequence[RunFiles]) -> Markup:
    lines = [
        tag("p", tag("code", f"{run.name}/{name}"), f" is not there ({what})")
        for run in runs
        for name, what in run.missing.items()
        if name in ("metrics.csv", "metrics.json", "samples.csv")
    ]
    return tag("div", *lines, class_="missing") if lines else Markup("")


def _colour(index: int) -> int:
    return index % _COLOURS + 1
