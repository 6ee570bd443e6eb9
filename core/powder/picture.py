"""Pictures of patterns as SVG: curves over the angle, ticks of lines below. Self-contained; colours suit light and dark.

Curves of many points are drawn by their smallest and largest value in each pixel, so that no peak is lost.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

WIDTH, HEIGHT = 960, 300
LEFT, RIGHT, TOP, BOTTOM = 14, 14, 24, 40
TICKS = 10
"""Height of one row of tick marks."""
COLOURS = {"measured": "#4477aa", "computed": "#cc3311", "difference": "#888888", "background": "#228833", "mark": "#cc3311"}


@dataclass(frozen=True, eq=False)
class Curve:
    """One curve; `kind` is a key of COLOURS."""

    label: str
    x: FloatArray
    y: FloatArray
    kind: str = "measured"


@dataclass(frozen=True, eq=False)
class Marks:
    """Tick marks below the curves at some angles."""

    label: str
    x: FloatArray
    kind: str = "mark"


def pattern_picture(
    curves: Sequence[Curve], marks: Sequence[Marks] = (), *, title: str = "", axis: str = "two theta, degrees"
) -> str:
    """An SVG of curves (all on one scale) and rows of tick marks."""
    low = min(float(curve.x[0]) for curve in curves)
    high = max(float(curve.x[-1]) for curve in curves)
    bottom = min(0.0, *(float(curve.y.min()) for curve in curves))
    top = max(float(curve.y.max()) for curve in curves)
    floor = HEIGHT - BOTTOM - TICKS * len(marks) - 4

    def px(x: FloatArray) -> FloatArray:
        return np.asarray(LEFT + (x - low) / ((high - low) or 1) * (WIDTH - LEFT - RIGHT))

    def py(y: FloatArray) -> FloatArray:
        return np.asarray(floor - (y - bottom) / ((top - bottom) or 1) * (floor - TOP))

    parts = [_axis(low, high, px, axis)]
    for curve in curves:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(*_thinned(px(curve.x), py(curve.y)), strict=True))
        parts.append(f'<polyline fill="none" stroke="{COLOURS[curve.kind]}" stroke-width="1.1" points="{points}"/>')
    for row, mark in enumerate(marks):
        y = floor + 4 + TICKS * row
        path = " ".join(f"M{x:.1f} {y}v{TICKS - 3}" for x in px(mark.x))
        parts.append(f'<path d="{path}" stroke="{COLOURS[mark.kind]}" stroke-width="1"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12" aria-label="{html.escape(title or "powder pattern", quote=True)}">'
        f"{_legend(title, [*curves, *marks])}{''.join(parts)}</svg>"
    )


def _legend(title: str, items: Sequence[Curve | Marks]) -> str:
    parts = [f'<text x="{LEFT}" y="15" fill="currentColor" font-weight="bold">{html.escape(title)}</text>']
    place = float(WIDTH - RIGHT)
    for item in reversed(items):
        parts.append(
            f'<text x="{place:.0f}" y="15" text-anchor="end" style="fill:{COLOURS[item.kind]}">{html.escape(item.label)}</text>'
        )
        place -= 6.6 * len(item.label) + 16
    return "".join(parts)


def _axis(low: float, high: float, px: object, name: str) -> str:
    assert callable(px)
    y = HEIGHT - BOTTOM
    step = next(step for step in (1, 2, 5, 10, 20, 50) if (high - low) / step <= 12)
    values = np.arange(np.ceil(low / step) * step, high + 1e-9, step)
    ticks = "".join(
        f'<path d="M{x:.1f} {y}v5" stroke="currentColor"/><text x="{x:.1f}" y="{y + 18}" text-anchor="middle" '
        f'fill="currentColor">{value:g}</text>'
        for x, value in zip(px(values), values, strict=True)
    )
    line = f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="currentColor"/>'
    centre = f'x="{WIDTH / 2}" y="{HEIGHT - 5}" text-anchor="middle"'
    return f'{line}{ticks}<text {centre} fill="currentColor">{html.escape(name)}</text>'


def _thinned(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At most two points for each pixel: the extremes."""
    if len(x) <= 2 * WIDTH:
        return x, y
    pixel = np.floor(x).astype(int)
    starts = np.flatnonzero(np.diff(pixel, prepend=pixel[0] - 1))
    low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    return np.repeat(x[starts], 2), np.stack([low, high], 1).ravel()
