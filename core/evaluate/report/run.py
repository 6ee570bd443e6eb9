"""The report of one run: whatever of its files is there, and a word on what is missing."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from crystalfw.core.evaluate.presented import Presented, presented
from crystalfw.core.evaluate.report import sections
from crystalfw.core.evaluate.report.gallery import Pick, gallery, pick
from crystalfw.core.evaluate.report.html import Markup, page, tag
from crystalfw.core.evaluate.report.parts import metric_sections

_WANTED = {
    "recipe.yaml": "the recipe",
    "metrics.csv": "training curves; `crystalfw run` writes it",
    "samples.csv": "samples; `crystalfw sample` writes it",
    "metrics.json": "metrics; `crystalfw evaluate` writes it",
    "provenance.json": "versions and seeds",
}


@dataclass(frozen=True)
class RunFiles:
    """What a run folder holds, read once; empty where a file is missing."""

    name: str
    recipe: str = ""
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    predictions: Sequence[Mapping[str, str]] = ()
    samples: Path | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def results(self) -> Sequence[Presented]:
        """What the metrics gave."""
        return presented(self.metrics)

    @property
    def examples(self) -> Sequence[str]:
        """Ids of samples that a metric wants shown first."""
        return tuple(id for item in self.results for id in item.result.get("examples", ()))


def read_run(run_dir: Path, *, samples: Path | None = None) -> RunFiles:
    """Read a run folder; a file that is missing or damaged is named in `missing`."""
    missing = {name: what for name, what in _WANTED.items() if not (run_dir / name).is_file()}
    table = samples if samples is not None else run_dir / "samples.csv"
    if table.is_file():
        missing.pop("samples.csv", None)
    texts = {name: _text(run_dir / name, missing) for name in ("recipe.yaml", "metrics.csv")}
    return RunFiles(
        name=run_dir.resolve().name,
        recipe=texts["recipe.yaml"],
        curves=_columns(texts["metrics.csv"]),
        metrics=_json(run_dir / "metrics.json", missing),
        provenance=_json(run_dir / "provenance.json", missing),
        predictions=_rows(run_dir / "predictions.csv"),
        samples=table if table.exists() else None,
        missing=missing,
    )


def write_report(run_dir: str | Path, *, samples: Path | None = None) -> Path:
    """Write run_dir/report.html and return its path; `samples` names a table (or files) that lies elsewhere."""
    run_dir = Path(run_dir)
    files = read_run(run_dir, samples=samples)
    path = run_dir / "report.html"
    path.write_text(render(files), encoding="utf-8")
    return path


def render(files: RunFiles) -> str:
    """The page as text."""
    picks, results = pick(files.samples, preferred=files.examples), files.results
    parts = [
        ("summary", "Summary", sections.summary(files.metrics, files.curves, results)),
        ("training", "Training", sections.training(files.curves)),
        *metric_sections(results),
        ("predictions", "Predictions", sections.predictions(files.predictions)),
        ("crystals", "Crystals", _gallery(picks)),
        ("metrics", "All numbers", sections.everything(files.metrics)),
        ("recipe", "Recipe", sections.recipe(files.recipe)),
        ("provenance", "Provenance", sections.provenance(files.metrics, files.provenance)),
    ]
    shown = [(id, name, content) for id, name, content in parts if content]
    written = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    body = [_missing(files.missing), *(content for _, _, content in shown)]
    return page(files.name, f"crystalfw run report, written {written}", body, links=[(id, name) for id, name, _ in shown])


def _gallery(picks: Sequence[Pick]) -> Markup:
    return gallery(picks) if picks else Markup("")


def _missing(missing: Mapping[str, str]) -> Markup:
    if not missing:
        return Markup("")
    lines = [tag("p", tag("code", name), f" is not in this folder ({what})") for name, what in missing.items()]
    return tag("div", *lines, class_="missing")


def _text(path: Path, missing: dict[str, str]) -> str:
    if not path.is_file():
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        missing[path.name] = f"it cannot be read: {error}"
        return ""


def _json(path: Path, missing: dict[str, str]) -> Mapping[str, Any]:
    content = _text(path, missing)
    if not content:
        return {}
    try:
        value = json.loads(content)
    except ValueError as error:
        missing[path.name] = f"it cannot be read: {error}"
        return {}
    return value if isinstance(value, Mapping) else {}


def _columns(content: str) -> dict[str, list[float]]:
    """Columns of metrics.csv as numbers, NaN where empty."""
    rows = list(csv.DictReader(content.splitlines()))
    names = [name for name in (rows[0] if rows else {}) if name]
    return {name: [_number(row.get(name)) for row in rows] for name in names}


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(value: str | None) -> float:
    try:
        return float(value or "nan")
    except ValueError:
        return math.nan
