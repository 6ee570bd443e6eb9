"""Charts as inline SVG: lines, histograms, funnel, scatter. Colours are classes, so that light and dark follow the page.

Every mark has a `<title>`, which browsers show on hover, and every chart a label for screen readers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from crystalfw.core.drawing.markup import Markup, join, tag, text
from crystalfw.core.evaluate.report.numbers import log_ticks, tick_labels, ticks
from crystalfw.core.presentation import percent, short

WIDTH, HEIGHT = 480, 270
LEFT, RIGHT, TOP, BOTTOM = 62, 22, 10, 42
_LOGARITHMIC = 20
"""From this ratio of the largest to the smallest value on, all positive, an axis is logarithmic."""
_MAX_POINTS = 400


@dataclass(frozen=True)
class Line:
    """One curve."""

    label: str
    points: Sequence[tuple[float, float]]
    style: int = 1
    """Number of the colour, from 1."""
    faint: bool = False
    marks: bool = False


class _Axes:
    """Data coordinates to the picture's, and the frame with ticks."""

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], x_name: str, y_name: str, *, logarithmic: bool = False
    ) -> None:
        self.x_range, self.y_range, self.x_name, self.y_name = _widened(x), _widened(y), x_name, y_name
        self.logarithmic = logarithmic

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high, at = *self.y_range, value
        if self.logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(value)
        return HEIGHT - BOTTOM - (at - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def frame(self, x_ticks: Sequence[float] | None = None, y_format: str = "number") -> Markup:
        parts = []
        heights = log_ticks(*self.y_range) if self.logarithmic else ticks(*self.y_range)
        places = x_ticks if x_ticks is not None else ticks(*self.x_range)
        shares = [percent(value).replace(".0 ", " ") for value in heights]
        plain = [short(value) for value in heights] if self.logarithmic else tick_labels(heights)
        for value, label in zip(heights, shares if y_format == "percent" else plain, strict=True):
            y = self.y(value)
            parts += [_segment(LEFT, y, WIDTH - RIGHT, y, "gridline"), _label(LEFT - 7, y + 4, label, "end")]
        for value, label in zip(places, tick_labels(places), strict=True):
            # a long label at the end of the axis would be cut
            x = min(self.x(value), WIDTH - 4 - 3.6 * len(label))
            parts.append(_label(x, HEIGHT - BOTTOM + 18, label, "middle"))
        parts.append(_segment(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis"))
        parts.append(_label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, self.x_name, "middle", "name"))
        if self.y_name:
            middle = (TOP + HEIGHT - BOTTOM) / 2
            turned = f"rotate(-90 12 {middle:g})"
            parts.append(tag("text", self.y_name, x=12, y=f"{middle:g}", transform=turned, text_anchor="middle", class_="name"))
        return join(parts)


def line_chart(lines: Sequence[Line], x_name: str, y_name: str, label: str) -> Markup:
    """Curves over a common axis; a legend below names them."""
    lines = [Line(**{**vars(line), "points": thin(line.points)}) for line in lines]
    lines = [line for line in lines if line.points]
    if not lines:
        return tag("p", "Nothing was recorded.", class_="note")
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    logarithmic = min(ys) > 0 and max(ys) > _LOGARITHMIC * min(ys)
    name = f"{y_name} (logarithmic)".strip() if logarithmic else y_name
    axes = _Axes((min(xs), max(xs)), (min(ys), max(ys)), x_name, name, logarithmic=logarithmic)
    body = [axes.frame()]
    for line in sorted(lines, key=lambda line: not line.faint):
        points = [(axes.x(x), axes.y(y)) for x, y in line.points]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        style = f"line s{line.style}" + (" faint" if line.faint else "")
        body.append(tag("path", tag("title", line.label), d=path, class_=style))
        if line.marks:
            body += [
                tag("circle", tag("title", f"{line.label}: {short(y)} at {x_name} {short(x)}"), cx=f"{px:.1f}", cy=f"{py:.1f}",
                    r=3, class_=f"dot s{line.style}")
                for (px, py), (x, y) in zip(points, line.points, strict=True)
            ]  # fmt: skip
    if len(lines) == 1:
        return _svg(body, label)
    names = {(line.label, line.style): line.faint for line in reversed(lines)}
    return join([_svg(body, label), legend([(name, style, faint) for (name, style), faint in reversed(names.items())])])


def histogram(
    edges: Sequence[float], sides: Mapping[str, Sequence[float]], x_name: str, label: str, *, discrete: bool = False
) -> Markup:
    """Shares per bin: the first side as bars, the second as an outline."""
    if len(edges) < 2:
        return tag("p", "Nothing to count.", class_="note")
    highest = max((value for values in sides.values() for value in values), default=0.0)
    axes = _Axes((edges[0], edges[-1]), (0.0, highest * 1.08 or 1.0), x_name, "")
    middle = [(low + high) / 2 for low, high in pairwise(edges)]
    every = max(1, len(middle) // 10)
    body = [axes.frame(middle[::every] if discrete else None, "percent")]
    for style, (name, values) in enumerate(sides.items(), start=1):
        if style == 1:
            body += [_bar(axes, low, high, value, name) for low, high, value in zip(edges, edges[1:], values, strict=False)]
        elif any(values):
            body.append(_outline(axes, edges, values, name, style))
    return join([_svg(body, label), legend([(name, style, False) for style, name in enumerate(sides, start=1)])])


def scatter(points: Sequence[tuple[float, float]], x_name: str, y_name: str, label: str) -> Markup:
    """Requested against obtained, with the line on which they agree."""
    points = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not points:
        return tag("p", "No pairs.", class_="note")
    both = [value for point in points for value in point]
    axes = _Axes((min(both), max(both)), (min(both), max(both)), x_name, y_name)
    low, high = axes.x_range
    body = [axes.frame(), _segment(axes.x(low), axes.y(low), axes.x(high), axes.y(high), "diagonal")]
    for x, y in thin(points, 1500):
        tip = tag("title", f"{short(x)} → {short(y)}")
        body.append(tag("circle", tip, cx=f"{axes.x(x):.1f}", cy=f"{axes.y(y):.1f}", r=3, class_="dot s1"))
    return _svg(body, label)


def bars(rows: Sequence[tuple[str, float | None, str, int]], label: str) -> Markup:
    """Horizontal bars of shares: (name, share, figure beside it, colour)."""
    step, top, width = 34, 4, 460
    body = []
    for index, (name, value, figure, style) in enumerate(rows):
        y = top + index * step
        length = max(0.0, min(1.0, value or 0.0)) * width
        place = {"x": 0, "y": y + 16, "height": 9, "rx": 4.5}
        body += [
            _label(0, y + 11, name, "start", "strong"),
            _label(width, y + 11, figure, "end"),
            tag("rect", **place, width=width, class_="track"),
            tag("rect", tag("title", f"{name}: {figure}"), **place, width=f"{length:.1f}", class_=f"bar s{style}"),
        ]  # fmt: skip
    height = top + len(rows) * step
    return Markup(f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{text(label)}">{join(body)}</svg>')


@dataclass(frozen=True)
class Interval:
    """One row of `intervals`."""

    name: str
    mean: float
    low: float | None
    high: float | None
    values: Sequence[float] = ()
    style: int = 1


def intervals(rows: Sequence[Interval], label: str, *, zero: bool = False, shares: bool = False) -> Markup:
    """Means as dots with intervals as bars, one row each with its name on the left; `zero` marks no difference.

    With `shares` the axis is in percent.
    """
    known = [v for row in rows for v in (row.mean, row.low, row.high, *row.values) if v is not None and math.isfinite(v)]
    if zero:
        known.append(0.0)
    if not known:
        return tag("p", "Nothing was measured.", class_="note")
    low, high = _widened((min(known), max(known)))
    left = min(190.0, 16 + 7 * max(len(row.name) for row in rows))
    margin, step, height = (high - low) * 0.05, 26, 40 + 26 * len(rows)

    def place(value: float) -> float:
        return left + (value - low + margin) / (high - low + 2 * margin) * (WIDTH - left - RIGHT)

    marks, bottom = ticks(low, high, 5), 8 + step * len(rows)
    names = [f"{100 * value:.4g} %" for value in marks] if shares else tick_labels(marks)
    body = [_segment(place(value), 4, place(value), bottom, "gridline") for value in marks]
    body += [_label(place(value), bottom + 18, name, "middle") for value, name in zip(marks, names, strict=True)]
    if zero:
        body.append(_segment(place(0.0), 4, place(0.0), bottom, "diagonal"))
    for k, row in enumerate(rows):
        body += _interval(row, 8 + k * step + step / 2, left, place)
    return Markup(f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{text(label)}">{join(body)}</svg>')


def _interval(row: Interval, y: float, left: float, place: Callable[[float], float]) -> list[Markup]:
    fits = int((left - 10) / 7)
    name = row.name if len(row.name) <= fits else row.name[: fits - 1] + "…"
    body = [
        tag("text", tag("title", row.name), name, x=f"{left - 10:.1f}", y=f"{y + 4:.1f}", text_anchor="end", class_="strong")
    ]
    if row.low is not None and row.high is not None:
        body.append(_segment(place(row.low), y, place(row.high), y, f"line s{row.style}"))
    body += [_dot(place(value), y, 2.5, f"dot faint s{row.style}", short(value)) for value in row.values]
    tip = f"{row.name}: {short(row.mean)} ({short(row.low)} to {short(row.high)})"
    return [*body, _dot(place(row.mean), y, 4.5, f"dot s{row.style}", tip)]


def legend(entries: Sequence[tuple[str, int, bool]]) -> Markup:
    """Names and colours of what a chart shows."""
    items = [tag("span", tag("i", class_=f"s{style}" + (" faint" if faint else "")), name) for name, style, faint in entries]
    return tag("div", *items, class_="legend")


def smoothed(points: Sequence[tuple[float, float]], window: int = 25) -> list[tuple[float, float]]:
    """Running median: the course of a noisy curve."""
    half = window // 2
    values = [y for _, y in points]
    return [(x, median(values[max(0, k - half) : k + half + 1])) for k, (x, _) in enumerate(points)]


def thin(points: Sequence[tuple[float, float]], most: int = _MAX_POINTS) -> list[tuple[float, float]]:
    """At most `most` finite points, evenly picked, the last always among them."""
    points = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(points) <= most:
        return points
    step = (len(points) - 1) / (most - 1)
    return [points[round(k * step)] for k in range(most)]


def _widened(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if high > low:
        return low, high
    return low - (abs(low) * 0.1 or 1.0), high + (abs(high) * 0.1 or 1.0)


def _bar(axes: _Axes, low: float, high: float, value: float, name: str) -> Markup:
    left, right, top = axes.x(low), axes.x(high), axes.y(value)
    gap = min(1.5, (right - left) * 0.1)
    tip = tag("title", f"{name}: {percent(value)} between {short(low)} and {short(high)}")
    height = max(0.0, HEIGHT - BOTTOM - top)
    return tag("rect", tip, x=f"{left + gap:.1f}", y=f"{top:.1f}", width=f"{max(right - left - 2 * gap, 0.5):.1f}",
               height=f"{height:.1f}", class_="bar s1")  # fmt: skip


def _outline(axes: _Axes, edges: Sequence[float], values: Sequence[float], name: str, style: int) -> Markup:
    path = f"M{axes.x(edges[0]):.1f} {axes.y(0):.1f}"
    for low, high, value in zip(edges, edges[1:], values, strict=False):
        path += f"L{axes.x(low):.1f} {axes.y(value):.1f}L{axes.x(high):.1f} {axes.y(value):.1f}"
    path += f"L{axes.x(edges[-1]):.1f} {axes.y(0):.1f}"
    return tag("path", tag("title", name), d=path, class_=f"line s{style}")


def _svg(body: Sequence[Markup], label: str) -> Markup:
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(label)}">{join(body)}</svg>')


def _dot(x: float, y: float, r: float, style: str, tip: str) -> Markup:
    return tag("circle", tag("title", tip), cx=f"{x:.1f}", cy=f"{y:.1f}", r=r, class_=style)


def _segment(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return tag("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=style)


def _label(x: float, y: float, content: str, anchor: str, style: str = "") -> Markup:
    return tag("text", content, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=style or None)
