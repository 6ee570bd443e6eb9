"""The sections of a run's report, each from the part of the files it needs; empty markup where there is nothing to show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from crystalfw.core.evaluate.report.charts import Line, bars, histogram, line_chart, scatter, smoothed
from crystalfw.core.evaluate.report.elements import periodic_table
from crystalfw.core.evaluate.report.html import Markup, card, details, grid, section, table, tag, tile
from crystalfw.core.evaluate.report.numbers import interval, percent, short

Curves = Mapping[str, Sequence[float]]
NOTHING = Markup("")
_TITLES = {
    "density": "Density", "elements": "Elements per crystal", "atoms": "Atoms per cell", "volume_per_atom": "Volume per atom",
}  # fmt: skip
_LONGEST_TABLE = 400
_NOISY = ("grad_norm", "tokens_per_s", "mfu")


def points(curves: Curves, name: str, against: str = "step") -> list[tuple[float, float]]:
    """(step, value) where the value was recorded."""
    xs, ys = curves.get(against, ()), curves.get(name, ())
    return [(x, y) for x, y in zip(xs, ys, strict=False) if math.isfinite(x) and math.isfinite(y)]


def best(curves: Curves, name: str = "val_loss") -> tuple[float, float] | None:
    """(step, value) of the smallest recorded value."""
    return min(points(curves, name), key=lambda point: point[1], default=None)


def summary(metrics: Mapping[str, Any], curves: Curves) -> Markup:
    """The figures that one asks for first."""
    tiles = []
    if (lowest := best(curves)) is not None:
        tiles.append(tile(short(lowest[1]), "best validation loss", f"nats per token, at step {short(lowest[0])}"))
    found = metrics.get("metrics", {})
    chain = {link["stage"]: link for link in found.get("shares", {}).get("result", {}).get("chain", [])}
    if chain:
        asked = next(iter(chain.values()))["of"]
        tiles.append(tile(short(asked), "samples asked for"))
    for stage, name in (("structurally valid", "structurally valid"), ("novel", "valid, unique and novel")):
        if stage in chain:
            tiles.append(
                tile(percent(chain[stage]["share"]), name, f"{short(chain[stage]['count'])} of {short(chain[stage]['of'])}")
            )
    match_result = found.get("match", {}).get("result", {})
    for tolerance in ("loose", "strict"):
        figures = match_result.get(tolerance, {}).get("n=1")
        if figures:
            tiles.append(tile(percent(figures["share"]), f"match at n = 1, {tolerance}", f"RMSE {short(figures['rmse'], 3)}"))
    for column, errors in metrics.get("prediction", {}).items():
        tiles.append(
            tile(short(errors["mae"]), f"test MAE of {column}", f"the median alone: {short(errors['mae_of_the_median'])}")
        )
    return section("summary", "Summary", tag("div", *tiles, class_="tiles")) if tiles else NOTHING


def training(curves: Curves) -> Markup:
    """Losses, learning rate and speed."""
    if not curves:
        return NOTHING
    losses = [
        Line("training loss", points(curves, "loss"), 1, faint=True),
        Line("validation loss", points(curves, "val_loss"), 2, marks=len(points(curves, "val_loss")) <= 60),
    ]
    cards = [card("Loss", line_chart(losses, "step", "nats per token", "Training and validation loss against steps"))]
    for name, title, unit in (
        ("lr", "Learning rate", ""),
        ("grad_norm", "Gradient norm", ""),
        ("tokens_per_s", "Speed", "tokens / s"),
        ("mfu", "Model FLOP utilisation", "share of peak"),
    ):
        if values := points(curves, name):
            lines = [Line(title.lower(), values, faint=name in _NOISY)]
            if name in _NOISY:
                lines.append(Line("running median", smoothed(values), 2))
            cards.append(card(title, line_chart(lines, "step", unit, f"{title} against steps")))
    rows = [[short(step), short(value, 6)] for step, value in points(curves, "val_loss")[-_LONGEST_TABLE:]]
    figures = [details("Validation losses as a table", table(["step", "validation loss"], rows))] if rows else []
    return section("training", "Training", grid(*cards), *figures)


def funnel(shares: Mapping[str, Any]) -> Markup:
    """The chained shares and what was lost where."""
    chain = shares.get("chain", [])
    if not chain:
        return NOTHING
    rows = [(link["stage"], link["share"], f"{short(link['count'])}  ({percent(link['share'])})", 1) for link in chain]
    figures = [[link["stage"], short(link["count"]), percent(link["share"]), interval(link)] for link in chain]
    lost = [
        [stage, reason, short(count)]
        for stage, reasons in shares.get("failures", {}).items()
        for reason, count in reasons.items()
    ]
    protocol = shares.get("protocol", {})
    lead = (
        f"Of {short(shares['asked'])} samples asked for, how many pass each stage and all before it. Unique and novel by "
        f"StructureMatcher ({protocol.get('tolerance', {}).get('name', '?')}) within equal compositions; novel against "
        f"{protocol.get('novel_against', '?')} ({short(protocol.get('known', 0))}). {protocol.get('compositional', '')}."
    )
    reasons = card("Where samples were lost", table(["stage", "reason", "samples"], lost)) if lost else card("Nothing was lost")
    return section(
        "funnel", "From samples to new crystals",
        grid(card("Chained shares", bars(rows, "Chained shares of all samples")), reasons),
        details("The shares as a table", table(["stage", "samples", "share of all", "95 % interval"], figures)), lead=lead,
    )  # fmt: skip


def match(result: Mapping[str, Any]) -> Markup:
    """Match rates and RMSE at both tolerances."""
    rows = []
    for tolerance in ("loose", "strict"):
        for name, figures in result.get(tolerance, {}).items():
            rows += _match_rows(tolerance, name, figures)
    if not rows:
        return NOTHING
    tolerances = result.get("protocol", {}).get("tolerances", {})
    settings = "; ".join(
        f"{name}: ltol {t['ltol']:g}, stol {t['stol']:g}, angle {t['angle_tol']:g}°" for name, t in tolerances.items()
    )
    trouble = {name: count for name, count in result.get("trouble", {}).items() if name != "compared"}
    lead = (
        f"pymatgen's StructureMatcher ({settings}). Asked for: {short(result['references_asked'])} of "
        f"{short(result['references'])} reference crystals. RMSE over the matched, in units of (V/N)^(1/3). "
        + (f"Pairs not decided: {', '.join(f'{count} {name}' for name, count in trouble.items())}." if trouble else "")
    )
    header = ["tolerance", "protocol", "matched", "of", "share", "95 % interval", "RMSE", "cRMSE"]
    return section("match", "Match with the reference", table(header, rows), lead=lead)


def _match_rows(tolerance: str, name: str, figures: Mapping[str, Any]) -> list[list[Any]]:
    if "left_out" in figures:
        return [[tolerance, "METRe", f"left out: {figures['left_out']}", "", "", "", "", ""]]
    label = "METRe, all samples" if name == "metre" else f"best of {name[2:]}" if name != "n=1" else "n = 1"
    rows = []
    for suffix, item in (("", figures), (", valid only", figures.get("valid"))):
        if item:
            rows.append([
                tolerance, label + suffix, short(item["count"]), short(item["of"]), percent(item["share"]), interval(item),
                short(item["rmse"], 3), short(item.get("crmse"), 3) if "crmse" in item else "",
            ])  # fmt: skip
    return rows


def distributions(result: Mapping[str, Any]) -> Markup:
    """Histograms against the reference with their distances."""
    histograms = result.get("histograms", {})
    if not any(item.get("edges") for item in histograms.values()):
        return NOTHING
    units, distances = result["protocol"]["units"], result["distances"]
    cards = []
    for name, item in histograms.items():
        sides = {"samples": item["samples"], "reference": item["reference"]}
        title, unit = _TITLES.get(name, name), units.get(name, "")
        note = "" if distances.get(name) is None else f"Wasserstein distance {short(distances[name], 3)} {unit}"
        chart = histogram(item["edges"], sides, unit, f"{title}: samples and reference", discrete=name in ("elements", "atoms"))
        cards.append(card(title, chart, note=note))
    population = result["protocol"]["population"]
    asked = f" of {short(result['asked'])}" if "asked" in result else ""
    lead = f"{short(result['samples'])} {population} samples{asked}, {short(result['reference'])} reference crystals."
    rows = [[_TITLES.get(name, name), short(value, 4), units.get(name, "")] for name, value in distances.items()]
    figures = details("The distances as a table", table(["quantity", "Wasserstein distance", "unit"], rows))
    return section("distributions", "Distributions", grid(*cards), figures, lead=lead)


def elements(result: Mapping[str, Any]) -> Markup:
    """Which elements the samples and the reference use."""
    shares = result.get("elements", {})
    ours, theirs = shares.get("samples", {}), shares.get("reference", {})
    if not ours:
        return NOTHING
    cards = [card("Samples", periodic_table(ours, theirs, "Share of samples with each element"))]
    if theirs:
        cards.append(card("Reference", periodic_table(theirs, ours, "Share of reference crystals with each element")))
    names = sorted({*ours, *theirs}, key=lambda name: -ours.get(name, 0.0))
    rows = [[name, percent(ours.get(name, 0.0)), percent(theirs.get(name, 0.0))] for name in names]
    figures = details("The shares as a table", table(["element", "samples", "reference"], rows))
    return section("elements", "Elements", grid(*cards), figures, lead="Share of crystals that contain the element.")


def parity(metrics: Mapping[str, Any], predictions: Sequence[Mapping[str, str]]) -> Markup:
    """Target against obtained: of conditional samples, or of a model that predicts."""
    cards = []
    for name, item in metrics.get("metrics", {}).items():
        for column, figures in item.get("result", {}).get("parity", {}).items():
            pairs = list(zip(figures["target"], figures["obtained"], strict=False))
            chart = scatter(pairs, "asked for", "obtained", f"{column}: asked for and obtained")
            cards.append(card(f"{column} ({name})", chart, note=figures.get("note", "")))
    by_column: dict[str, list[tuple[float, float]]] = {}
    for row in predictions:
        by_column.setdefault(row.get("column", ""), []).append((float(row["target"]), float(row["predicted"])))
    for column, pairs in by_column.items():
        cards.append(card(column, scatter(pairs, "target", "predicted", f"{column}: target and prediction")))
    return section("conditions", "Target against obtained", grid(*cards)) if cards else NOTHING


def everything(metrics: Mapping[str, Any]) -> Markup:
    """Every metric with its version, options and scalar results; plugins of others show up here too."""
    blocks = []
    for name, item in metrics.get("metrics", {}).items():
        options = ", ".join(f"{key} = {value}" for key, value in item.get("options", {}).items()) or "no options"
        head = f"{name}, version {item.get('version')}, from {item.get('origin')}"
        problem = [tag("p", f"Not computed: {item['error']}", class_="missing")] if item.get("error") else []
        rows = list(flatten(item.get("result", {})))[:_LONGEST_TABLE]
        blocks.append(details(head, tag("p", options, class_="note"), *problem, table(["figure", "value"], rows)))
    return section("metrics", "All figures", *blocks, lead="Each metric with its version and settings.") if blocks else NOTHING


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
