"""What metrics say about their results reaches the pages; the pages know no metric by name."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from crystalfw.core.discovery import registry
from crystalfw.core.evaluate.evaluation import evaluate
from crystalfw.core.evaluate.presented import Presented, presented
from crystalfw.core.evaluate.report import write_comparison, write_report
from crystalfw.core.evaluate.report.parts import metric_sections
from crystalfw.core.interfaces import Metric, MetricContext, NoOptions
from crystalfw.core.presentation import PERCENT, Bars, ElementMap, Figure, Histogram, Scatter, Section, Table, numbers
from crystalfw.core.recipe.options import create
from crystalfw.core.recipe.schema import ComponentSpec
from crystalfw.core.testing.metric_laws import compute, samples
from crystalfw.plugins.metrics.match import Match
from tests.plugins.metrics.crystals import perovskite, rock_salt, sample

ROOT = Path(__file__).parents[3]
MADE = [sample("a", rock_salt()), sample("b", perovskite()), sample("c", status="parse", reason="parse")]


class Oxides(Metric):
    """A metric of somebody else's, with a headline, every kind of chart and a table."""

    Config = NoOptions
    not_measured = frozenset({"bins"})

    def __init__(self, config):
        pass

    def compute(self, samples, reference, context):
        assert context["bench"] is context.bench
        count = sum(item.crystal is not None and 8 in item.crystal.numbers for item in samples)
        return {"oxides": count / len(samples), "bins": {"first": 0.5}, "protocol": {"denominator": len(samples)}}

    @classmethod
    def headline(cls, result):
        return [Figure("oxides", "crystals with <oxygen>", result["oxides"], PERCENT, "higher", "of all samples")]

    @classmethod
    def sections(cls, result):
        parts = [
            Bars(title="Share of oxides", figures=cls.headline(result)),
            Histogram(title="Oxygen content", edges=[0, 1, 2], sides={"samples": [0.5, 0.5]}, unit="atoms"),
            Scatter(title="Charges", points=[(0.0, 1.0), (1.0, 1.0)], x="asked", y="found", note="by hand"),
            ElementMap(title="Partners", shares={"Sr": 0.5}, beside={}),
            Table(title="Numbers", header=["", "value"], rows=[["oxides", 0.33333333], ["none", None]]),
        ]
        return [Section(name="Oxides", title="Oxides among the samples", lead="Oxygen & more.", parts=parts)]


@pytest.fixture
def oxides():
    known = registry()
    before = known.snapshot()
    known.add("metric", "oxides", Oxides)
    yield ComponentSpec(name="oxides", label="my oxides")
    known.restore(before)


def test_a_metric_of_somebody_else_appears_in_the_pages(oxides, tmp_path):
    record = evaluate(MADE, (), [oxides], out=tmp_path, workers=1, quiet=True)
    assert record["metrics"]["my oxides"]["metric"] == "oxides"
    page = write_report(tmp_path).read_text()
    tiles = ["<b>33.3 %</b>", "crystals with &lt;oxygen&gt;", "of all samples"]
    charts = ["Oxygen content", "Charges", "by hand", "Partners", '<td class="n">0.3333</td>']
    for words in (*tiles, "Oxides among the samples", "Oxygen &amp; more", *charts):
        assert words in page
    both = write_comparison([tmp_path, tmp_path], tmp_path / "both.html").read_text()
    assert '<th scope="col" class="n">crystals with &lt;oxygen&gt;</th>' in both
    assert both.count("Crystals with &lt;oxygen&gt;</figcaption>") == 1
    (item,) = presented(json.loads((tmp_path / "metrics.json").read_text()))
    assert item.measures() == {"oxides": pytest.approx(1 / 3)}


def test_sections_of_one_name_become_one_that_says_whose_they_are():
    results = [Presented(name, Oxides, {"oxides": 0.5}) for name in ("one", "two")]
    ((id, name, content),) = metric_sections(results)
    assert (id, name) == ("metric-oxides", "Oxides")
    assert content.count("<section") == 1
    assert "Oxides among the samples (one)" in content
    assert "Oxides among the samples (two)" in content


def test_results_without_their_metric_keep_their_numbers():
    share = {"count": 1, "of": 4, "share": 0.25, "low": 0, "high": 1}
    metrics = {"gone": {"metric": "gone", "result": {"a": share, "b": {"c": 2, "d": None}, "summary": ["x"]}}}
    (item,) = presented({"metrics": metrics})
    assert (item.metric, item.headline(), item.sections()) == (Metric, [], [])
    assert item.measures() == {"a": 0.25, "b.c": 2}


def test_a_result_of_another_version_costs_the_words_not_the_page():
    item = Presented("match", Match, {"rate": 0.5})
    assert (item.headline(), item.sections(), item.measures()) == ([], [], {"rate": 0.5})


def test_the_second_of_a_kind_in_an_older_file_finds_its_metric():
    metrics = {"match-2": {"origin": "crystalfw 0.1.0", "result": {"references": 1}}}
    assert presented({"metrics": metrics})[0].metric is Match


def test_a_context_reads_as_the_mapping_that_it_replaces():
    context = MetricContext(bench=None, train=["a"])
    assert (context["train"], context.get("key"), context.get("nothing", 3)) == (["a"], None, 3)
    with pytest.raises(KeyError, match="it has bench, train, key, run_dir"):
        context["trian"]


CHEAP = ("shares", "match", "distributions", "novelty", "validity", "symmetry", "coverage")
CONTRACT = {
    "summary", "protocol", "outcomes", "examples", "verdicts", "good", "text", "count", "of", "share", "low",
    "high", "samples", "reference",
}  # fmt: skip
"""Keys that core/interfaces.py and core/presentation.py declare, and two that metrics.json has of its own."""


def keys_of(value):
    if isinstance(value, dict):
        return set(value) | {key for item in value.values() for key in keys_of(item)}
    return {key for item in value for key in keys_of(item)} if isinstance(value, list) else set()


def test_the_pages_know_no_metric_and_no_key_of_its_results():
    known = {entry.name for entry in registry().entries("metric")}
    for name in CHEAP:
        result = json.loads(json.dumps(compute(create("metric", name), samples())))
        known |= keys_of({key: item for key, item in result.items() if key not in ("outcomes", "protocol")})
        known |= {link["stage"] for link in result.get("chain", [])}
    words = {key for key in known - CONTRACT if not re.fullmatch(r"[A-Z][a-z]?", key)}
    assert {"chain", "n=1", "histograms", "shares", "novel"} <= words
    found = []
    for folder in ("core/evaluate", "core/run/ablation"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in words:
                    found.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.value!r}")
    assert found == [], "let the metric declare it: Metric.headline, sections, measures"


def test_numbers_leave_out_what_follows_from_a_share():
    share = {"count": 1, "of": 4, "share": 0.25, "low": 0.0, "high": 1.0, "rmse": 0.5}
    result = {"rate": share, "empty": {**share, "share": None}, "yes": True, "reasons": {"x": 3}, "nan": float("nan")}
    assert numbers(result, frozenset({"reasons"})) == {"rate": 0.25, "rate.rmse": 0.5, "empty.rmse": 0.5}


def test_figures_in_words():
    share = Figure.of_share("a", "b", {"count": 1200, "of": 4000, "share": 0.3, "low": 0.25, "high": 0.35})
    assert (share.text, share.interval, share.note) == ("30.0 %", "25.0–35.0 %", "1,200 of 4,000")
    assert Figure("a", "b", 0.12345, "g/cm3").text == "0.1235 g/cm3"
    assert Figure("a", "b", None, "g/cm3").text == "–"
