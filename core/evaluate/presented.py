"""The results of metrics.json with what their metrics say about them: figures, sections, measures.

A result whose metric is not installed, or which its metric cannot read, still has its numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from crystalfw.core.discovery import registry
from crystalfw.core.errors import PluginError
from crystalfw.core.evaluate.said import ComparisonSaid, ProtocolSaid
from crystalfw.core.interfaces import Metric
from crystalfw.core.presentation import Figure, Section, numbers

Value = TypeVar("Value")


@dataclass(frozen=True)
class Presented:
    """One result."""

    name: str
    """Its name in metrics.json."""
    metric: type[Metric]
    result: Mapping[str, Any]

    def headline(self) -> Sequence[Figure]:
        """The figures to show first."""
        return self._ask(lambda: list(self.metric.headline(self.result)), [])

    def sections(self) -> Sequence[Section]:
        """Charts and tables."""
        return self._ask(lambda: list(self.metric.sections(self.result)), [])

    def measures(self) -> Mapping[str, float]:
        """Every number that runs are compared by."""
        return self._ask(lambda: dict(self.metric.measures(self.result)), numbers(self.result))

    def _ask(self, question: Callable[[], Value], otherwise: Value) -> Value:
        """A metric of another version may not find its keys: the page then shows the numbers alone."""
        try:
            return question()
        except (LookupError, TypeError, ValueError, AttributeError):
            return otherwise


def presented(metrics: Mapping[str, Any]) -> list[Presented]:
    """What an evaluation says itself, then the results of a metrics.json, in order, without those that were not computed."""
    said = [
        Presented(name, metric, metrics[name])
        for name, metric in (("comparison", ComparisonSaid), ("protocol", ProtocolSaid))
        if isinstance(metrics.get(name), Mapping) and metrics[name]
    ]
    return said + [
        Presented(name, _metric(name, item), item["result"])
        for name, item in metrics.get("metrics", {}).items()
        if isinstance(item, Mapping) and isinstance(item.get("result"), Mapping) and item["result"]
    ]


def _metric(name: str, item: Mapping[str, Any]) -> type[Metric]:
    """The class that gave a result; Metric itself, with its defaults, where it is not installed."""
    # files without the key `metric` name the result after its metric, `conditional-2` for the second of a kind
    known = item.get("metric") or re.sub(r"-\d+$", "", name)
    owner = str(item.get("origin", "")).partition(" ")[0]
    for override in (owner or None, None):
        try:
            return cast(type[Metric], registry().get("metric", known, override=override).load())
        except PluginError:
            continue
    return Metric
