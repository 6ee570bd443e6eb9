"""The top of an ablation's page: what each model answered to the same request, and its figures in a plain table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.drawing.markup import Markup, join, tag, text
from crystalfw.core.evaluate.report.asked import MET, Answer, answer_card, answers, asked_card
from crystalfw.core.evaluate.report.gallery import HOW_TO
from crystalfw.core.evaluate.report.html import section, table
from crystalfw.core.evaluate.report.run_files import RunFiles
from crystalfw.core.presentation import PERCENT, short
from crystalfw.core.run.ablation.summary import Study

_REQUESTS = 2


def answers_by_variant(runs: Mapping[int, RunFiles]) -> dict[int, list[Answer]]:
    """Variant -> its answers to the first requests and to others that any variant met; without those nothing was asked of."""
    asked = {id: crystal for run in runs.values() for id, crystal in run.asked.items()}
    first = {index: answers(run.samples, asked, run.verdicts, _REQUESTS) for index, run in runs.items()}
    met = [item.request for found in first.values() for item in found[_REQUESTS:]][:MET]
    shown = {*met, *(item.request for found in first.values() for item in found[:_REQUESTS])}
    every = {i: answers(run.samples, asked, run.verdicts, _REQUESTS, shown) for i, run in runs.items()}
    kept = {index: [item for item in found if item.request in shown] for index, found in every.items()}
    return {index: given for index, given in kept.items() if given}


def crystals_of(given: Mapping[int, Sequence[Answer]]) -> list[Crystal | None]:
    """Every crystal that the section draws."""
    return [crystal for found in given.values() for item in found for crystal in (item.reference, item.sample.crystal)]


def asked_rows(study: Study, given: Mapping[int, Sequence[Answer]]) -> Markup:
    """A row for each request: what was asked for, then the answer of every variant that was asked."""
    rows = []
    requests = {item.request: item for found in given.values() for item in found}
    for request, first in requests.items():
        cards = [
            answer_card(item, study.cells[index].name)
            for index, found in given.items()
            for item in found
            if item.request == request
        ]
        rows.append(tag("div", asked_card(first), *cards, class_="row asked"))
    if not rows:
        return Markup("")
    seed = study.grid.seeds[0]
    further = ", and others that a variant met" if len(rows) > _REQUESTS else ""
    lead = f"Left what was asked for, then what each variant answered (seed {seed}): the first requests{further}. {HOW_TO}"
    return section("answers", "Asked and answered", *rows, lead=lead)


def results_table(study: Study, given: Mapping[int, Sequence[Answer]]) -> Markup:
    """Variant by measure: means over seeds, with the range of single runs where there are several."""
    measures = _columns(study)
    header = ["variant", "parameters", *(_heading(study, measure) for measure in measures)]
    rows: list[list[Any]] = []
    for index, cell in enumerate(study.cells):
        values = [_value(study, measure, index) for measure in measures]
        rows.append([cell.name, _parameters(study, index), *values])
    done, wanted = len({(r.cell, r.seed) for r in study.results}), len(study.cells) * len(study.grid.seeds)
    seeds = len(study.grid.seeds)
    lead = f"{len(study.cells)} variants, {seeds} seed{'' if seeds == 1 else 's'} each; {done} of {wanted} runs finished."
    lead += f" {len(study.failures)} failed." if study.failures else ""
    notes = [tag("p", note, class_="note") for note in _notes(study, given, measures)]
    return section("results", "Results", table(header, rows), *notes, lead=lead)


def _notes(study: Study, given: Mapping[int, Sequence[Answer]], measures: Sequence[str]) -> list[str]:
    notes = []
    known = {(r.cell, measure) for r in study.results for measure in r.figures}
    gaps = {r.cell for r in study.results for measure in measures if (r.cell, measure) not in known}
    unasked = [study.cells[cell].name for cell in sorted(gaps) if given and cell not in given]
    if unasked:
        names = ", ".join(unasked)
        notes.append(f"– not measured: {names} is given no condition, so there is no crystal to compare the answer with.")
    elif gaps:
        notes.append("– not measured in these runs.")
    if len(study.grid.seeds) == 1:
        notes.append(
            "One seed: a difference between two rows can be chance. With seeds: [0, 1, 2] in the grid there are intervals "
            "and verdicts."
        )
    return notes


def _columns(study: Study) -> list[str]:
    """The grid's measures, then what the metrics show first and call better one way or the other."""
    headline = [name for result in study.results for name, figure in result.headline.items() if figure.better]
    return list(dict.fromkeys([*study.means, *headline]))


def _heading(study: Study, measure: str) -> Markup:
    figure = study.figures.get(measure)
    better = study.grid.measures.get(measure) or (figure.better if figure else "")
    unit = figure.unit if figure and figure.unit != PERCENT else ""
    below = ", ".join(filter(None, (unit, f"{better} is better" if better else "")))
    words = study.words(measure)
    return join([text(words[:1].upper() + words[1:]), *([Markup("<br>"), tag("small", below)] if below else [])])


def _value(study: Study, measure: str, index: int) -> Markup | str:
    runs = [r.figures.get(measure) for r in study.results if r.cell == index]
    values = [value for value in runs if value is not None]
    if not values:
        return "–"
    low, high = study.text(measure, min(values)), study.text(measure, max(values))
    below = [f"{low} to {high}"] if low != high else []
    below += [f"{len(values)} of {len(runs)} runs"] if len(values) < len(runs) else []
    mean = text(study.text(measure, sum(values) / len(values)))
    return join([mean, Markup("<br>"), tag("small", ", ".join(below))]) if below else mean


def _parameters(study: Study, index: int) -> str:
    found = next((r.figures.get("parameters") for r in study.results if r.cell == index), None)
    return "–" if found is None else short(found)
