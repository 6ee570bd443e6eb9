"""Numbers for people: a few significant digits, percentages with their interval, round ticks for axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def short(value: Any, digits: int = 4) -> str:
    """A number with `digits` significant digits and thousands separated; other values as they are; '–' for nothing."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if 1e-4 <= abs(value) < 1e6:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        return f"{value:,.{min(decimals, 8)}f}"
    return f"{value:.{digits - 1}e}"


def percent(value: float | None) -> str:
    """A share as a percentage."""
    return "–" if value is None else f"{100 * value:.1f} %"


def interval(figures: Mapping[str, Any]) -> str:
    """The 95 % interval of a share."""
    low, high = figures.get("low"), figures.get("high")
    return "" if low is None or high is None else f"{100 * low:.1f}–{100 * high:.1f} %"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that cover [low, high], about `count` of them."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    raw = span / max(count - 1, 1)
    magnitude = 10 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """Ticks without needless digits, all in one unit: 1.5, 20, 5k, 2M, 5e-4."""
    largest = max((abs(value) for value in values), default=0.0)
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if largest >= 5 * limit or (largest >= 2 * limit and letter == "M"):
            return ["0" if not value else f"{value / limit:g}{letter}" for value in values]
    if 0 < largest < 0.01:
        return ["0" if not value else _scientific(value) for value in values]
    return [f"{value:.6g}" for value in values]


def _scientific(value: float) -> str:
    exponent = math.floor(math.log10(abs(value)))
    return f"{value / 10**exponent:.3g}e{exponent}"
