"""What an evaluation itself says in a report, as a metric would: its protocol, and how several generators compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Bars, Figure, Part, Section, Table, short
from crystalfw.core.records import Sample


class ProtocolSaid(Metric):
    """The sentences of a protocol."""

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Never asked."""
        raise DataError("a protocol is not computed")

    @classmethod
    def sections(cls, result: Mapping[str, Any]) -> Sequence[Section]:
        """What differs from the original."""
        rows = [[str(number), line] for number, line in enumerate(result["differs"], start=1)]
        table = Table(header=["", "what differs from the original"], rows=rows)
        lead = f"Protocol `{result['name']}`: {result['source']}."
        return [Section(name="Protocol", title="Protocol", lead=lead, parts=[table])]


class ComparisonSaid(ProtocolSaid):
    """Verdicts, figures and differences of several generators."""

    @classmethod
    def sections(cls, result: Mapping[str, Any]) -> Sequence[Section]:
        """The page's first sections."""
        names = list(result["generators"])
        verdicts = Table(header=["what the samples say"], rows=[[line] for line in result["sentences"]])
        in_full = Table(
            header=["in full"], rows=[[item["verdict"]] for item in result["differences"]], folded=True,
            title="Every comparison in words",
        )  # fmt: skip
        words = Table(
            header=["measure", *names[1:]],
            rows=[[result["words"][measure], *(row.get(name, "") for name in names[1:])] for measure, row in _words(result)],
        )
        figures = Table(
            header=["", *names],
            rows=[[result["words"][key], *(_cell(row.get(name)) for name in names)] for key, row in result["figures"].items()],
        )
        charts: list[Part] = [
            Bars(title=result["words"][key], figures=[_bar(name, item) for name, item in row.items()])
            for key, row in result["figures"].items()
            if any(item["share"] for item in row.values())
        ]
        lead = (
            f"Everything is compared with {names[0]}. Differences by bootstrap, paired where both answer the same questions; "
            "verdicts are corrected for the number of comparisons (Bonferroni). In brackets: 95 % intervals."
        )
        facts = Table(
            header=["", "made from", "samples", "paired", "CPU s"],
            rows=[
                [name, item["from"], short(item["samples"]), item["paired"], short(item.get("cpu_s"), 3)]
                for name, item in result["generators"].items()
            ],
        )
        return [
            Section(name="Verdict", title="What the samples say", lead=lead, parts=[verdicts, words, in_full]),
            Section(name="Figures", title="All generators by the same metrics", parts=[figures, *charts]),
            Section(name="Generators", title="What is compared", parts=[facts]),
        ]


def _words(result: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    found: dict[str, dict[str, str]] = {}
    for item in result["differences"]:
        found.setdefault(item["measure"], {})[item["generator"]] = f"{item['word']} {item['difference']:+.3g}"
    return list(found.items())


def _cell(item: Mapping[str, Any] | None) -> str:
    if item is None or item["value"] is None:
        return "–"
    figure = _bar("", item)
    return f"{figure.text} ({figure.interval})" if figure.interval else figure.text


def _bar(name: str, item: Mapping[str, Any]) -> Figure:
    return Figure(name, name, item["value"], item["unit"], low=item["low"], high=item["high"])
