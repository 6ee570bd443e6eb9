"""Several generators judged by the same metrics, compared in pairs with the first, in words.

FOLDER/NAME/ holds each one's metrics.json, outcomes.csv and report.html; FOLDER/metrics.json and FOLDER/report.html the
comparison; FOLDER/comparison.csv every difference with its interval.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crystalfw.core.evaluate.contenders import Contender
from crystalfw.core.evaluate.measured import errors_of, headline_of, outcomes_of, read_json
from crystalfw.core.evaluate.statistics import Difference, decision, difference_of_samples, verdict
from crystalfw.core.presentation import PERCENT, Figure
from crystalfw.core.sample.export import safe_name

PAIRED, INDEPENDENT = "paired", "independent"


@dataclass(frozen=True)
class Judged:
    """A contender with what its evaluation wrote."""

    contender: Contender
    folder: Path
    questions: Mapping[str, str] = field(default_factory=dict)
    """Sample id -> the reference crystal that it was made for; empty where samples name none."""


def folder_of(out: Path, name: str) -> Path:
    """The folder of one contender."""
    return out / safe_name(name.replace(" ", "-"))


def comparison(judged: Sequence[Judged]) -> dict[str, Any]:
    """Figures of all, differences to the first, and sentences; as metrics.json keeps it."""
    shown = [headline_of(item.folder) for item in judged]
    outcomes = [outcomes_of(item.folder) for item in judged]
    names = [item.contender.name for item in judged]
    measures = {key: figure for figures in reversed(shown) for key, figure in reversed(figures.items())}
    measures = dict(reversed(measures.items()))
    compared = [key for key, figure in measures.items() if figure.better and key in outcomes[0] and outcomes[0][key]]
    differences = [
        _difference(number, key, judged, outcomes, sum(key in one for one in outcomes) - 1)
        for key in compared
        for number in range(1, len(judged))
        if outcomes[number].get(key)
    ]
    found = [(item, measures[item.measure]) for item in differences]
    labels = _labels(measures)
    rows = [
        {
            "measure": item.measure, "generator": names[item.cell], "difference": item.mean, "low": item.low,
            "high": item.high, "method": item.method, "items": item.items, "word": decision(item, figure.better),
            "verdict": verdict(_worded(item, labels), names[item.cell], names[0], figure.better),
        }
        for item, figure in found
    ]  # fmt: skip
    return {
        "generators": {item.contender.name: _facts(item, judged[0]) for item in judged},
        "figures": {
            key: {name: _figure(figures[key]) for name, figures in zip(names, shown, strict=True) if key in figures}
            for key in measures
        },
        "words": labels,
        "differences": rows,
        "sentences": [*sentences(names, rows, labels), *_failures(judged)],
    }


def sentences(names: Sequence[str], rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> list[str]:
    """What follows, for the first generator: which others are shown to be better or worse, measure by measure."""
    lines = []
    for measure in dict.fromkeys(row["measure"] for row in rows):
        by_word: dict[str, list[str]] = {}
        for row in rows:
            if row["measure"] == measure:
                by_word.setdefault(row["word"], []).append(f"{row['generator']} ({row['difference']:+.3g})")
        better, worse, same = (by_word.get(word, []) for word in ("better", "worse", "not shown"))
        parts = [f"{', '.join(better)} better" if better else "", f"{', '.join(worse)} worse" if worse else "",
                 f"no difference shown to {', '.join(same)}" if same else ""]  # fmt: skip
        lines.append(f"{labels[measure]}, beside {names[0]}: {'; '.join(part for part in parts if part)}.")
    return lines


def write_differences(record: Mapping[str, Any], path: Path) -> None:
    """comparison.csv: one row for each measure and generator."""
    header = ["measure", "generator", "baseline", "difference", "low", "high", "method", "items", "verdict"]
    first = next(iter(record["generators"]))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in record["differences"]:
            writer.writerow([row["measure"], row["generator"], first, *(row[name] for name in header[3:])])


def _difference(
    number: int, key: str, judged: Sequence[Judged], outcomes: Sequence[Mapping[str, Mapping[str, float]]], comparisons: int
) -> Difference:
    theirs, ours = outcomes[0][key], outcomes[number][key]
    common = [id for id in theirs if id in ours and _same_question(id, judged[0], judged[number])]
    paired = len(common) == len(theirs) == len(ours)
    left = [ours[id] for id in common] if paired else list(ours.values())
    right = [theirs[id] for id in common] if paired else list(theirs.values())
    return difference_of_samples(number, key, left, right, paired=paired, comparisons=comparisons)


def _same_question(id: str, first: Judged, other: Judged) -> bool:
    """An outcome belongs to a reference crystal, or to samples that were made for the same one."""
    mine, theirs = first.questions.get(id), other.questions.get(id)
    if mine is None and theirs is None:
        return bool(first.questions) and bool(other.questions)  # the id is that of a reference crystal
    return bool(mine) and mine == theirs


def _facts(item: Judged, first: Judged) -> dict[str, Any]:
    record = read_json(item.folder / "metrics.json")
    same = bool(item.questions) and bool(first.questions)
    paired = "the first" if item is first else "by question" if same else "no: other questions, or none"
    return {
        "from": str(item.contender.path), "samples": record.get("samples", {}).get("count"), "paired": paired,
        "cpu_s": item.contender.cpu_s,
    }  # fmt: skip


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "value": figure.value, "unit": figure.unit, "low": figure.low, "high": figure.high, "share": figure.unit == PERCENT
    }  # fmt: skip


def _labels(measures: Mapping[str, Figure]) -> dict[str, str]:
    """Measure -> its words; with the metric's name where two say the same."""
    words = [figure.label for figure in measures.values()]
    return {
        key: figure.label if words.count(figure.label) == 1 else f"{figure.label} ({key.partition('.')[0]})"
        for key, figure in measures.items()
    }


def _worded(item: Difference, labels: Mapping[str, str]) -> Difference:
    from dataclasses import replace

    return replace(item, measure=labels[item.measure])


def _failures(judged: Sequence[Judged]) -> list[str]:
    """Metrics that gave nothing for someone."""
    return [
        f"{item.contender.name}: {name} was not computed: {why}"
        for item in judged
        for name, why in errors_of(item.folder).items()
    ]
