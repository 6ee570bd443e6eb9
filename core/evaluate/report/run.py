"""The report of one run: whatever of its files is there, and a word on what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from crystalfw.core.drawing.markup import Markup, tag
from crystalfw.core.evaluate.report import sections
from crystalfw.core.evaluate.report.asked import answers, asked_section
from crystalfw.core.evaluate.report.gallery import balls_of, gallery
from crystalfw.core.evaluate.report.html import page
from crystalfw.core.evaluate.report.parts import example_ids, metric_sections
from crystalfw.core.evaluate.report.run_files import RunFiles, read_run
from crystalfw.core.evaluate.report.samples import find, pick
from crystalfw.core.evaluate.report.sections import NOTHING


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
    found = answers(files.samples, files.asked, files.verdicts)
    examples = find(files.samples, example_ids(results))
    parts = [
        ("summary", "Summary", sections.summary(files)),
        ("answers", "Asked", asked_section(found)),
        *metric_sections(results, examples),
        ("crystals", "Crystals", gallery(picks) if picks else NOTHING),
        ("predictions", "Predictions", sections.predictions(files.predictions)),
        ("training", "Training", sections.training(files.curves, files.loss_unit)),
        ("metrics", "All numbers", sections.everything(files.metrics)),
        ("recipe", "Recipe", sections.recipe(files.recipe)),
        ("provenance", "Provenance", sections.provenance(files.metrics, files.provenance)),
    ]
    shown = [(id, name, content) for id, name, content in parts if content]
    written = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    drawn = [item.crystal for item in (*picks, *examples.values())]
    drawn += [crystal for item in found for crystal in (item.reference, item.sample.crystal)]
    body = [_missing(files.missing), balls_of(drawn), *(content for _, _, content in shown)]
    kind = "evaluation" if files.is_evaluation else "run"
    return page(files.name, f"crystalfw {kind} report, written {written}", body, links=[(id, name) for id, name, _ in shown])


def _missing(missing: Mapping[str, str]) -> Markup:
    if not missing:
        return Markup("")
    lines = [tag("p", tag("code", name), f" is not in this folder ({what})") for name, what in missing.items()]
    return tag("div", *lines, class_="missing")
