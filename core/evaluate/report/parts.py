"""Sections that metrics declare (core/presentation.py), drawn: one section per name, each chart in a card."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from crystalfw.core.drawing.markup import Markup, join, tag
from crystalfw.core.evaluate.presented import Presented
from crystalfw.core.evaluate.report.asked import failure_lines
from crystalfw.core.evaluate.report.charts import bars, histogram, scatter
from crystalfw.core.evaluate.report.gallery import crystal_card
from crystalfw.core.evaluate.report.html import card, details, grid, section, table
from crystalfw.core.evaluate.report.periodic import periodic_table
from crystalfw.core.evaluate.report.samples import Pick
from crystalfw.core.presentation import (
    Bars,
    ElementMap,
    Example,
    Examples,
    Figure,
    Histogram,
    Part,
    Scatter,
    Section,
    Table,
    short,
)

_DRAWN = 6
"""Kinds of samples that are shown by an example; the rest are listed."""


def metric_sections(results: Sequence[Presented], samples: Mapping[str, Pick] | None = None) -> list[tuple[str, str, Markup]]:
    """Id, name and content of every section; those of equal name, of two metrics or of one used twice, become one.

    `samples` are those that sections show as examples (`example_ids`), by id.
    """
    by_name: dict[str, list[tuple[str, Section]]] = {}
    for item in results:
        for declared in item.sections():
            by_name.setdefault(declared.name, []).append((item.name, declared))
    return [(f"metric-{identifier(name)}", name, _merged(found, samples or {})) for name, found in by_name.items()]


def example_ids(results: Sequence[Presented]) -> list[str]:
    """Ids of the samples that sections show as examples."""
    parts = [part for item in results for declared in item.sections() for part in declared.parts]
    return [row.sample for part in parts if isinstance(part, Examples) for row in part.rows[:_DRAWN] if row.sample]


def identifier(name: str) -> str:
    """A name as an element's id."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "section"


def figure_bars(rows: Sequence[tuple[str, Figure, int]], label: str) -> Markup:
    """Bars of shares with their names and colours."""
    return bars([(name, figure.value, _beside(figure), style) for name, figure, style in rows], label)


def _beside(figure: Figure) -> str:
    return f"{figure.text}  ({figure.note or figure.interval})" if figure.note or figure.interval else figure.text


def _merged(found: Sequence[tuple[str, Section]], samples: Mapping[str, Pick]) -> Markup:
    content: list[Markup] = []
    for name, declared in found:
        if len(found) > 1:
            content.append(tag("h3", f"{declared.title} ({name})"))
            content += [tag("p", declared.lead, class_="lead")] if declared.lead else []
        content += _content(declared.parts, samples)
    first = found[0][1]
    title, lead = (first.title, first.lead) if len(found) == 1 else (first.name, "")
    return section(f"metric-{identifier(first.name)}", title, *content, lead=lead)


def _content(parts: Sequence[Part], samples: Mapping[str, Pick]) -> list[Markup]:
    """Charts and titled tables side by side, then tables without a title over the whole width, examples, what is folded."""
    tables = [part for part in parts if isinstance(part, Table)]
    drawn = [part for part in parts if not isinstance(part, (Table, Examples))]
    cards = [card for part in (*drawn, *(t for t in tables if t.title and not t.folded)) if (card := _card(part))]
    wide = [_table(part) for part in tables if not part.title]
    shown = [_examples(part, samples) for part in parts if isinstance(part, Examples) and part.rows]
    folded = [details(part.title, _table(part)) for part in tables if part.title and part.folded]
    return [*([grid(*cards)] if cards else []), *wide, *shown, *folded]


def _examples(part: Examples, samples: Mapping[str, Pick]) -> Markup:
    """One card each of the most frequent kinds: crystal or string; the others in a table."""
    cards = [_example(row, samples[row.sample]) for row in part.rows[:_DRAWN] if row.sample in samples]
    rest = [[row.words, row.count] for row in part.rows if row.sample not in samples or row not in part.rows[:_DRAWN]]
    title = tag("h3", part.title)
    return join(
        [title, *([tag("div", *cards, class_="row")] if cards else []), *([table(["", "samples"], rest)] if rest else [])]
    )


def _example(row: Example, item: Pick) -> Markup:
    head = tag(
        "p", tag("b", row.words), f" · {short(row.count)} sample{'' if row.count == 1 else 's'}, one of them:", class_="head"
    )
    if item.crystal is None:
        return tag("figure", head, *(failure_lines(item) if not item.cif else []), tag("p", f"sample {item.id}"))
    return crystal_card(item.crystal, f"sample {item.id}", tag("p", f"sample {item.id}"), above=head)


def _card(part: Part) -> Markup:
    """A chart or titled table as a card; empty where there is nothing to show."""
    if _empty(part):
        return Markup("")
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
            return card(part.title, _table(part))
        case Examples():
            return _examples(part, {})


def _empty(part: Part) -> bool:
    match part:
        case Bars():
            return all(figure.value is None for figure in part.figures)
        case Histogram():
            return len(part.edges) < 2
        case Scatter():
            return not any(math.isfinite(x) and math.isfinite(y) for x, y in part.points)
        case ElementMap():
            return not part.shares
    return not part.rows


def _table(part: Table) -> Markup:
    rows: list[list[Any]] = [[cell if isinstance(cell, str) else short(cell) for cell in row] for row in part.rows]
    return table(part.header, rows)
