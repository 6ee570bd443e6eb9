"""Round ticks for axes, labelled without needless digits."""

from __future__ import annotations

import math
from collections.abc import Sequence


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


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in [low, high], with 2 and 5 between them where there are few; both ends above 0."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [round(factor * 10.0**power, 12) for power in powers for factor in factors]
        found = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(found) >= 3:
            return found
    return found or [low]


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
