"""Several runs side by side: validation curves, shares, match rates, in one table and a few pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from crystalfw.core.evaluate.report.charts import Line, bars, line_chart, smoothed
from crystalfw.core.evaluate.report.gallery import gallery, pick
from crystalfw.core.evaluate.report.html import Markup, card, grid, page, section, table, tag
from crystalfw.core.evaluate.report.numbers import interval, percent, short
from crystalfw.core.evaluate.report.run import RunFiles, read_run
from crystalfw.core.evaluate.report.sections import best, points

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
    parts = [
        ("table", "Figures", _table(runs)),
        ("curves", "Training", _curves(runs)),
        ("shares", "Shares", _shares(runs)),
        ("crystals", "Crystals", gallery(picks) if picks else Markup("")),
    ]
    shown = [(id, name, content) for id, name, content in parts if content]
    written = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    links = [(id, name) for id, name, _ in shown]
    subtitle = f"{len(runs)} crystalfw runs, written {written}"
    return page(title, subtitle, [_missing(runs), *(content for _, _, content in shown)], links=links)


def _table(runs: Sequence[RunFiles]) -> Markup:
    columns = ["run", "parameters", "best validation loss", "steps", "samples", "structurally valid", "valid, unique, novel",
               "match n = 1 loose", "strict"]  # fmt: skip
    lead = "Figures of one protocol share a row's column; open a run's own report for its protocol and settings."
    return section("table", "Figures", table(columns, [_row(run) for run in runs]), lead=lead)


def _row(run: RunFiles) -> list[Any]:
    lowest = best(run.curves)
    chain = {link["stage"]: link for link in run.result("shares").get("chain", [])}
    parameters = run.provenance.get("parameters", {})
    total = parameters.get("total", sum(parameters.values())) if isinstance(parameters, Mapping) else parameters
    steps = [x for x, _ in points(run.curves, "loss")]
    match = run.result("match")
    return [
        run.name,
        short(total) if total else "–",
        "–" if lowest is None else short(lowest[1]),
        short(steps[-1]) if steps else "–",
        short(run.result("shares").get("asked")),
        _share(chain.get("structurally valid")),
        _share(chain.get("novel")),
        *(_share(match.get(tolerance, {}).get("n=1")) for tolerance in ("loose", "strict")),
    ]


def _share(figures: Mapping[str, Any] | None) -> Markup:
    if not figures:
        return Markup("–")
    return Markup(f"{percent(figures['share'])}<br><small>{interval(figures)}</small>")


def _curves(runs: Sequence[RunFiles]) -> Markup:
    cards = []
    for name, title, unit in (
        ("val_loss", "Validation loss", "nats per token"),
        ("loss", "Training loss (running median)", "nats per token"),
    ):
        smooth = smoothed if name != "val_loss" else list
        curves = [(run.name, smooth(points(run.curves, name)), _colour(k)) for k, run in enumerate(runs)]
        lines = [Line(*curve) for curve in curves if curve[1]]
        if lines:
            cards.append(card(title, line_chart(lines, "step", unit, f"{title} of every run")))
    return section("curves", "Training", grid(*cards)) if cards else Markup("")


def _shares(runs: Sequence[RunFiles]) -> Markup:
    stages: dict[str, list[tuple[str, float | None, str, int]]] = {}
    for k, run in enumerate(runs):
        for link in run.result("shares").get("chain", []):
            figure = f"{percent(link['share'])}  ({interval(link)})"
            stages.setdefault(link["stage"], []).append((run.name, link["share"], figure, _colour(k)))
    cards = [card(stage.capitalize(), bars(rows, f"{stage}: share of all samples, per run")) for stage, rows in stages.items()]
    lead = "Shares of all samples asked for, with 95 % intervals; each stage counts what passed all before it."
    return section("shares", "Chained shares", grid(*cards), lead=lead) if cards else Markup("")


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
