"""What a metric says about its numbers, in words: figures, charts, tables. Data only; core/evaluate/report draws them.

@classmethod
def headline(cls, result):
    return [Figure("share", "crystals with oxygen", result["share"], unit=PERCENT, better="higher")]
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

PERCENT = "%"
"""The unit of shares: the value runs from 0 to 1 and is shown as a percentage."""
_ROUNDING = 1e-12
"""Smaller numbers are what floating point leaves of zero."""
_SHARE = frozenset({"count", "of", "share"})
_NOT_MEASURED = frozenset({"protocol", "summary", "outcomes", "examples", "verdicts"})
"""Names that have a meaning in every result and hold no measures."""


class Verdict(TypedDict):
    """What a metric says of one sample beside what was asked for; `result["verdicts"]` maps sample ids to them."""

    good: bool
    """True where the sample is what was asked for."""
    text: str
    """In a few words; after a colon the particulars: `no match: NaCl2 instead of NaCl`."""


@dataclass(frozen=True)
class Figure:
    """A number with its words: shown large in a run's report, as a column where runs are compared."""

    key: str
    """Its name among the metric's measures, e.g. `novel`; a grid of runs asks for it as `shares.novel`."""
    label: str
    """What it is, in words without the metric's name in front."""
    value: float | None
    unit: str = ""
    """Shown behind the number; PERCENT shows a share as a percentage."""
    better: Literal["higher", "lower", ""] = ""
    """Which way is better; figures that say so are compared by `crystalfw ablate` unless the grid names others."""
    note: str = ""
    """A few words below the number."""
    low: float | None = None
    """95 % interval, where there is one."""
    high: float | None = None

    @classmethod
    def of_share(
        cls,
        key: str,
        label: str,
        share: Mapping[str, Any],
        *,
        better: Literal["higher", "lower", ""] = "higher",
        note: str | None = None,
    ) -> Figure:
        """From a mapping with count, of, share and, where known, low and high; the note says `12 of 40` unless given."""
        note = f"{short(share['count'])} of {short(share['of'])}" if note is None else note
        return cls(key, label, share["share"], PERCENT, better, note, share.get("low"), share.get("high"))

    @property
    def number(self) -> str:
        """The number alone, a share as a percentage: `12.5 %`, `0.1234`."""
        return percent(self.value) if self.unit == PERCENT else short(self.value)

    @property
    def text(self) -> str:
        """The number with its unit: `12.5 %`, `0.1234 g/cm3`."""
        return self.number if self.unit == PERCENT or self.value is None else f"{self.number} {self.unit}".strip()

    @property
    def interval(self) -> str:
        """The 95 % interval: `10.1–15.2 %`; empty where there is none."""
        if self.low is None or self.high is None:
            return ""
        if self.unit == PERCENT:
            return f"{100 * self.low:.1f}–{100 * self.high:.1f} %"
        return f"{short(self.low)} to {short(self.high)}"


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Shares as horizontal bars; where several runs are compared, every bar becomes a chart with one bar per run."""

    title: str
    figures: Sequence[Figure]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Shares per bin: the first side as bars, the second as an outline."""

    title: str
    edges: Sequence[float]
    sides: Mapping[str, Sequence[float]]
    """Name of the side -> share in each bin."""
    unit: str = ""
    discrete: bool = False
    """True for whole numbers: every bin is labelled at its centre."""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Pairs against the line on which they agree."""

    title: str
    points: Sequence[tuple[float, float]]
    x: str
    y: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class ElementMap:
    """The periodic table, each element shaded by a share."""

    title: str
    shares: Mapping[str, float]
    """Symbol -> share."""
    beside: Mapping[str, float]
    """The other side, shown when the pointer rests on an element."""
    label: str = ""
    """What the shares are, for screen readers."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text and numbers; numbers are shown with four digits, None as a dash."""

    header: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]
    title: str = ""
    folded: bool = False
    """True shows the title only, until the reader opens the table."""


@dataclass(frozen=True)
class Example:
    """A sample that stands for several."""

    words: str
    """What is the case with them."""
    count: int
    sample: str
    """Id of the one that the page shows: its crystal, or its string where it has none."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Kinds of samples, most frequent first, each with its count and one sample that the page draws."""

    title: str
    rows: Sequence[Example]


Part = Bars | Histogram | Scatter | ElementMap | Table | Examples


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a run's report: a heading, a sentence, charts and tables. Sections of equal name are shown as one."""

    name: str
    """One word, for the page's navigation."""
    title: str
    lead: str = ""
    parts: Sequence[Part] = ()


def numbers(result: Mapping[str, Any], without: frozenset[str] = frozenset()) -> dict[str, float]:
    """The finite numbers of a nested result by dotted path; a share counts as one number, `without` are paths left out."""
    found: dict[str, float] = {}
    _collect("", result, without, found)
    return found


def _collect(path: str, value: Any, without: frozenset[str], found: dict[str, float]) -> None:
    if isinstance(value, Mapping):
        is_share = bool(path) and set(value) >= _SHARE
        if is_share and value["share"] is not None:
            found[path] = float(value["share"])
        # count, denominator and interval follow from the share
        skipped = _NOT_MEASURED | _SHARE | {"low", "high"} if is_share else _NOT_MEASURED
        for key, item in value.items():
            place = f"{path}.{key}" if path else str(key)
            if key not in skipped and place not in without:
                _collect(place, item, without, found)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        found[path] = float(value)


def short(value: Any, digits: int = 4) -> str:
    """A number with `digits` significant digits and thousands separated; other values as they are; '–' for nothing."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if abs(value) < _ROUNDING:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        return f"{value:,.{min(decimals, 8)}f}"
    return f"{value:.{digits - 1}e}"


def to_places(value: float | None, places: int = 3) -> str:
    """A measured number to so many decimal places: `0.012`; `<0.001` for what would read as nothing, '–' for nothing."""
    if value is None or not math.isfinite(value):
        return "–"
    least = 10.0**-places
    return f"<{least:.{places}f}" if abs(value) < least / 2 else f"{value:,.{places}f}"


def percent(value: float | None) -> str:
    """A share as a percentage."""
    return "–" if value is None else f"{100 * value:.1f} %"
