"""The sections of a run's report, each from the part of the files it needs; empty markup where there is nothing to show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from crystalfw.core.drawing.markup import Markup, tag
from crystalfw.core.evaluate.report.charts import Line, line_chart, scatter, smoothed
from crystalfw.core.evaluate.report.html import card, details, grid, section, table, tile
from crystalfw.core.evaluate.report.run_files import RunFiles
from crystalfw.core.presentation import PERCENT, Figure, short

Curves = Mapping[str, Sequence[float]]
NOTHING = Markup("")
_MAX_TABLE = 400
_ENOUGH_TO_SMOOTH = 50
_NOISY = ("grad_norm", "tokens_per_s", "mfu")


def points(curves: Curves, name: str, against: str = "step") -> list[tuple[float, float]]:
    """(step, value) where the value was recorded."""
    xs, ys = curves.get(against, ()), curves.get(name, ())
    return [(x, y) for x, y in zip(xs, ys, strict=False) if math.isfinite(x) and math.isfinite(y)]


def best(curves: Curves, name: str = "val_loss") -> tuple[float, float] | None:
    """(step, value) of the smallest recorded value."""
    return min(points(curves, name), key=lambda point: point[1], default=None)


def summary(files: RunFiles) -> Markup:
    """The figures that one asks for first: of every metric, of a prediction, of the training."""
    metrics, results, tiles = files.metrics, files.results, list[Markup]()
    if results:
        tiles.append(tile(short(metrics.get("samples", {}).get("count")), "samples requested"))
    tiles += [_tile(figure) for item in results for figure in item.headline()]
    for column, errors in metrics.get("prediction", {}).items():
        tiles.append(
            tile(short(errors["mae"]), f"test MAE of {column}", f"the median alone: {short(errors['mae_of_the_median'])}")
        )
    if (lowest := best(files.curves)) is not None:
        unit = f"{files.loss_unit}, " if files.loss_unit else ""
        tiles.append(tile(short(lowest[1]), "best validation loss", f"{unit}at step {short(lowest[0])}"))
    return section("summary", "Summary", tag("div", *tiles, class_="tiles")) if tiles else NOTHING


def _tile(figure: Figure) -> Markup:
    unit = "" if figure.unit == PERCENT else figure.unit
    return tile(figure.number, figure.label, "; ".join(filter(None, (unit, figure.note))))


def training(curves: Curves, loss_unit: str) -> Markup:
    """Losses, learning rate and speed, as far as they were recorded and not all zero."""
    if not curves:
        return NOTHING
    losses = [
        Line("training loss", points(curves, "loss"), 1, faint=True),
        Line("validation loss", points(curves, "val_loss"), 2, marks=len(points(curves, "val_loss")) <= 60),
    ]
    cards = [card("Loss", line_chart(losses, "step", loss_unit, "Training and validation loss against steps"))]
    for name, title, unit in (
        ("lr", "Learning rate", ""),
        ("grad_norm", "Gradient norm", ""),
        ("tokens_per_s", "Speed", "tokens / s"),
        ("mfu", "Model FLOP utilisation", "share of peak"),
    ):
        values = points(curves, name)
        if any(value for _, value in values):
            lines = [Line(title.lower(), values, faint=name in _NOISY and len(values) > _ENOUGH_TO_SMOOTH)]
            if name in _NOISY and len(values) > _ENOUGH_TO_SMOOTH:
                lines.append(Line("running median", smoothed(values), 2))
            cards.append(card(title, line_chart(lines, "step", unit, f"{title} against steps")))
    rows = [[short(step), short(value, 6)] for step, value in points(curves, "val_loss")[-_MAX_TABLE:]]
    figures = [details("Validation losses as a table", table(["step", "validation loss"], rows))] if rows else []
    return section("training", "Training", grid(*cards), *figures)


def predictions(rows: Sequence[Mapping[str, str]]) -> Markup:
    """Target against prediction of a model that predicts properties."""
    by_column: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        by_column.setdefault(row.get("column", ""), []).append((float(row["target"]), float(row["predicted"])))
    cards = [
        card(column, scatter(pairs, "target", "predicted", f"{column}: target and prediction"))
        for column, pairs in by_column.items()
    ]
    return section("predictions", "Target against prediction", grid(*cards)) if cards else NOTHING


def everything(metrics: Mapping[str, Any]) -> Markup:
    """Every metric with its version, options and scalar results; plugins of others show up here too."""
    blocks = []
    for name, item in metrics.get("metrics", {}).items():
        options = ", ".join(f"{key} = {value}" for key, value in item.get("options", {}).items()) or "no options"
        head = f"{name}, version {item.get('version')}, from {item.get('origin')}"
        problem = [tag("p", f"Not computed: {item['error']}", class_="missing")] if item.get("error") else []
        result = {key: value for key, value in item.get("result", {}).items() if key not in ("verdicts", "summary")}
        rows = flatten(result)[:_MAX_TABLE]
        blocks.append(details(head, tag("p", options, class_="note"), *problem, table(["figure", "value"], rows)))
    return section("metrics", "All numbers", *blocks, lead="Each metric with its version and settings.") if blocks else NOTHING


def flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Scalars of a nested result with dotted names; long lists (histograms, ids) are left to metrics.json."""
    if isinstance(value, Mapping):
        return [row for key, item in value.items() for row in flatten(item, f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(value, (list, tuple)):
        if len(value) > 8:
            return []
        return [row for index, item in enumerate(value) for row in flatten(item, f"{prefix}.{index}")]
    return [(prefix, short(value, 6))]


def recipe(content: str) -> Markup:
    """The expanded recipe."""
    lead = "The expanded recipe; it alone reproduces the run."
    return section("recipe", "Recipe", tag("pre", content), lead=lead) if content else NOTHING


def provenance(metrics: Mapping[str, Any], record: Mapping[str, Any]) -> Markup:
    """Versions, seeds, machine, inputs."""
    versions = {**metrics.get("versions", {}), **record.get("versions", {})}
    facts = [(key, short(value)) for key, value in record.items() if not isinstance(value, (Mapping, list))]
    facts += [(f"components.{key}", value) for key, value in record.get("components", {}).items()]
    facts += flatten({key: metrics[key] for key in ("samples", "reference", "training") if key in metrics})
    if not versions and not facts:
        return NOTHING
    tables = [table(["library", "version"], versions.items())] if versions else []
    tables += [table(["fact", "value"], facts)] if facts else []
    return section("provenance", "Versions and seeds", grid(*tables))
