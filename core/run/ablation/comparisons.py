"""The statistics of an ablation's page, where several seeds allow any: verdicts, means with intervals, paired differences."""

from __future__ import annotations

from crystalfw.core.drawing.markup import Markup, tag
from crystalfw.core.evaluate.report.charts import Interval, intervals
from crystalfw.core.evaluate.report.html import card, details, grid, section, table
from crystalfw.core.evaluate.statistics import Difference, decision
from crystalfw.core.presentation import short
from crystalfw.core.run.ablation.summary import Study

_COLOURS = 6
_FEW_SENTENCES = 6


def verdicts(study: Study) -> Markup:
    """Words and differences, variant by measure; nothing with one seed."""
    if not study.verdicts or len(study.grid.seeds) < 2:
        return Markup("")
    lead = (
        f"Every variant against {study.cells[study.grid.baseline].name}, paired by seed and, where there are per-sample "
        "outcomes, by sample. Verdicts use Bonferroni-corrected confidence intervals."
    )
    sentences = tag("ul", *(tag("li", line) for line in study.verdicts))
    words = details("In sentences, with intervals", sentences, open_=len(study.verdicts) <= _FEW_SENTENCES)
    return section("verdicts", "What the runs say", _decisions(study), words, lead=lead)


def means(study: Study) -> Markup:
    """A chart for each measure."""
    if len(study.grid.seeds) < 2:
        return Markup("")
    cards = []
    for measure, variants in study.means.items():
        rows = [
            Interval(study.cells[index].name, mean.mean, mean.low, mean.high, mean.values, colour(index))
            for index, mean in variants.items()
        ]
        if len({value for row in rows for value in row.values}) < 2:
            same = f"{study.text(measure, rows[0].mean)} in every run"
            cards.append(card(titled(study, measure), tag("p", same, class_="note")))
            continue
        note = f"{study.grid.measures[measure]} is better; dots are seeds, bars 95 % t intervals of the mean"
        chart = intervals(rows, f"{study.words(measure)}: mean of every variant", shares=study.is_share(measure))
        cards.append(card(titled(study, measure), chart, note=note))
    rows_all = [
        [study.cells[index].name, study.words(measure), short(m.mean), short(m.low), short(m.high), short(len(m.values))]
        for measure, variants in study.means.items()
        for index, m in variants.items()
    ]
    figures = details("The means as a table", table(["variant", "measure", "mean", "low", "high", "seeds"], rows_all))
    return section("means", "Means over seeds", grid(*cards), figures) if cards else Markup("")


def differences(study: Study) -> Markup:
    """A chart for each measure that was compared."""
    if len(study.grid.seeds) < 2:
        return Markup("")
    cards = []
    for measure in study.means:
        items = [item for item in study.differences if item.measure == measure]
        if any(value for i in items for value in (i.mean, i.low, i.high)):
            rows = [Interval(study.cells[i.cell].name, i.mean, i.low, i.high, (), colour(i.cell)) for i in items]
            note = f"minus {study.cells[study.grid.baseline].name}; 95 %, by {items[0].method}"
            chart = intervals(
                rows, f"{study.words(measure)}: difference to the baseline", zero=True, shares=study.is_share(measure)
            )
            cards.append(card(titled(study, measure), chart, note=note))
    rows_all = [
        [study.cells[i.cell].name, study.words(i.measure), short(i.mean), short(i.low), short(i.high), i.seeds,
         i.items or "–", i.method]
        for i in study.differences
    ]  # fmt: skip
    header = ["variant", "measure", "difference", "low", "high", "seeds", "samples", "method"]
    figures = details("The differences as a table", table(header, rows_all))
    return section("differences", "Paired differences to the baseline", grid(*cards), figures) if cards else Markup("")


def _decisions(study: Study) -> Markup:
    """Measures down, variants across: the word and the difference."""
    found = {(item.measure, item.cell): item for item in study.differences}
    variants = sorted({index for _, index in found})
    rows = []
    for measure in study.means:
        row = [f"{titled(study, measure)} ({study.grid.measures[measure]} is better)"]
        for index in variants:
            item = found.get((measure, index))
            row.append("–" if item is None else _decision(study, item))
        rows.append(row)
    return table(["", *(study.cells[index].name for index in variants)], rows)


def _decision(study: Study, item: Difference) -> str:
    """The word and the difference: `better, +12.0 points`."""
    word = decision(item, study.grid.measures[item.measure])
    amount = f"{100 * item.mean:+.1f} points" if study.is_share(item.measure) else f"{item.mean:+.3g}"
    return f"{'no difference shown' if word == 'not shown' else word}, {amount}"


def titled(study: Study, measure: str) -> str:
    """The measure in words, as a title."""
    words = study.words(measure)
    return words[:1].upper() + words[1:]


def colour(index: int) -> int:
    """The colour of a variant, from 1."""
    return index % _COLOURS + 1
