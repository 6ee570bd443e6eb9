"""Sections that metrics declare (core/presentation.py), drawn: one section per name, each chart in a card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from crystalfw.core.evaluate.presented import Presented
from crystalfw.core.evaluate.report.charts import bars, histogram, scatter
from crystalfw.core.evaluate.report.elements import periodic_table
from crystalfw.core.evaluate.report.html import Markup, card, details, grid, section, table, tag
from crystalfw.core.presentation import Bars, ElementMap, Figure, Histogram, Part, Scatter, Section, Table, short


def metric_sections(results: Sequence[Presented]) -> list[tuple[str, str, Markup]]:
    """Id, name and content of every section; those of equal name, of two metrics or of one used twice, become one."""
    by_name: dict[str, list[tuple[str, Section]]] = {}
    for item in results:
        for declared in item.sections():
            by_name.setdefault(declared.name, []).append((item.name, declared))
    return [(f"metric-{identifier(name)}", name, _merged(found)) for name, found in by_name.items()]


def identifier(name: str) -> str:
    """A name as an element's id."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "section"


def figure_bars(rows: Sequence[tuple[str, Figure, int]], label: str) -> Markup:
    """Bars of shares with their names and colours."""
    return bars([(name, figure.value, _beside(figure), style) for name, figure, style in rows], label)


def _beside(figure: Figure) -> str:
    return f"{figure.text}  ({figure.note or figure.interval})" if figure.note or figure.interval else figure.text


def _merged(found: Sequence[tuple[str, Section]]) -> Markup:
    content: list[Markup] = []
    for name, declared in found:
        if len(found) > 1:
            content.append(tag("h3", f"{declared.title} ({name})"))
            content += [tag("p", declared.lead, class_="lead")] if declared.lead else []
        content += _content(declared.parts)
    first = found[0][1]
    title, lead = (first.title, first.lead) if len(found) == 1 else (first.name, "")
    return section(f"metric-{identifier(first.name)}", title, *content, lead=lead)


def _content(parts: Sequence[Part]) -> list[Markup]:
    """Charts and titled tables side by side, then tables without a title over the whole width, then those folded."""
    tables = [part for part in parts if isinstance(part, Table)]
    cards = [_card(part) for part in parts if not isinstance(part, Table) or (part.title and not part.folded)]
    wide = [_table(part) for part in tables if not part.title]
    folded = [details(part.title, _table(part)) for part in tables if part.title and part.folded]
    return [*([grid(*cards)] if cards else []), *wide, *folded]


def _card(part: Part) -> Markup:
    match part:
        case Bars():
            chart = figure_bars([(figure.label, figure, 1) for figure in part.figures], part.title)
            return card(part.title, chart, note=part.note)
        case Histogram():
            label = f"{part.title}: {' and '.join(part.sides)}"
            return card(part.title, histogram(part.edges, part.sides, part.unit, label, discrete=part.discrete), note=part.note)
        case Scatter():
            chart = scatter(part.points, part.x, part.y, f"{part.title}: {part.x} and {part.y}")
            return card(part.title, chart, note=part.note)
        case ElementMap():
            return card(part.title, periodic_table(part.shares, part.beside, part.label or part.title))
        case Table():
            return card(part.title, *([_table(part)] if part.rows else []))


def _table(part: Table) -> Markup:
    rows: list[list[Any]] = [[cell if isinstance(cell, str) else short(cell) for cell in row] for row in part.rows]
    return table(part.header, rows)
