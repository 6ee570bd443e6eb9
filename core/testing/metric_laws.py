"""The laws of metrics: JSON results, every sample counted, the same numbers for the same input."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.evaluate.presented import Presented
from crystalfw.core.evaluate.report.parts import metric_sections
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.records import Sample
from crystalfw.core.system.sequences import Spool
from crystalfw.core.testing import crystals as ops
from crystalfw.core.testing.laws import Broken, Subject, law


def make(subject: Subject) -> Metric:
    """A fresh metric."""
    metric = subject.make()
    assert isinstance(metric, Metric)
    return metric


def samples(*, failed: bool = True) -> list[Sample]:
    """The small crystals as samples of themselves, and two that failed."""
    found = [
        Sample(id=f"{i:06d}", seed=0, string="x", status="ok", reason="", crystal=crystal, reference_id=crystal.id)
        for i, crystal in enumerate(ops.small_crystals())
    ]
    if failed:
        found.append(
            Sample(
                id="000004",
                seed=0,
                string="x",
                status="parse",
                reason="parse: unknown token",
                crystal=None,
                reference_id="NaCl",
            )
        )
        found.append(Sample(id="000005", seed=0, string="x", status="decode", reason="geometry", crystal=None))
    return found


def compute(metric: Metric, chosen: Sequence[Sample], reference: Sequence[Crystal] | None = None) -> Mapping[str, Any]:
    """The results against the small crystals, in the context that evaluation gives (core/evaluate/evaluation.py)."""
    known = ops.small_crystals() if reference is None else reference
    with Workbench(workers=1, quiet=True) as bench:
        context = MetricContext(bench=bench, train=ops.small_crystals()[:1])
        results = metric.compute(chosen, known, context)
    if isinstance(results, dict) and isinstance(results.get("outcomes"), Mapping):
        results["outcomes"] = {measure: dict(values.items()) for measure, values in results["outcomes"].items()}
    return results


@law("metric", "Results are a mapping of names to JSON values.", "Turn arrays into lists and numpy numbers into Python's.")
def json_values(subject: Subject) -> None:  # noqa: D103
    results = compute(make(subject), samples())
    if not isinstance(results, dict) or not results:
        raise Broken(f"it returned {results!r:.80}.")
    json.dumps(results)


@law(
    "metric",
    "No sample, or no reference, gives an answer or a clear error.",
    "Return null where a number is not defined, or raise DataError.",
)
def empty(subject: Subject) -> None:  # noqa: D103
    for chosen, reference in (([], None), (samples()[-2:], None), (samples(), [])):
        try:
            json.dumps(compute(make(subject), chosen, reference))
        except DataError:
            continue


@law(
    "metric",
    "The same samples give the same numbers, from a list or from disk.",
    "Draw from a fixed seed; read samples by index or by iterating, as of any sequence.",
)
def determinism(subject: Subject) -> None:  # noqa: D103
    first = compute(make(subject), samples())
    second = compute(make(subject), Spool(samples()), Spool(ops.small_crystals()))
    if json.dumps(first, sort_keys=True) != json.dumps(second, sort_keys=True):
        raise Broken("two calls differ.")


@law(
    "metric",
    "Failed samples are counted: they change the result or stand in it.",
    "Keep one denominator: all samples that were asked for; report the counts.",
)
def failures_counted(subject: Subject) -> None:  # noqa: D103
    with_failures, without = compute(make(subject), samples()), compute(make(subject), samples(failed=False))
    if json.dumps(with_failures, sort_keys=True) == json.dumps(without, sort_keys=True):
        raise Broken("with two failed samples more, nothing in the result changes.")


@law("metric", "The samples and the reference stay as they are.", "Copy before sorting or wrapping.")
def inputs_untouched(subject: Subject) -> None:  # noqa: D103
    chosen, reference = samples(), ops.small_crystals()
    compute(make(subject), chosen, reference)
    same = [np.array_equal(a.frac_coords, b.frac_coords) for a, b in zip(reference, ops.small_crystals(), strict=True)]
    if len(chosen) != len(samples()) or not all(same):
        raise Broken("they were changed.")


@law(
    "metric",
    "What a metric shows first is among its measures, and its sections can be drawn from metrics.json.",
    "Give each Figure the dotted path of its number in the result as its key; read results as JSON gives them back.",
)
def presentation(subject: Subject) -> None:  # noqa: D103
    metric = make(subject)
    result = json.loads(json.dumps(compute(metric, samples())))
    measures = metric.measures(result)
    for figure in metric.headline(result):
        if figure.value is not None and measures.get(figure.key) != figure.value:
            raise Broken(f"the figure '{figure.key}' is {figure.value!r:.40}; the measure is {measures.get(figure.key)!r:.40}.")
    metric_sections([Presented("tested", type(metric), result)])
    list(metric.sections(result))


@law(
    "metric",
    "Samples that a result names, in examples and verdicts, are samples that it was given; verdicts have good and text.",
    "Take the id of the sample itself; write Verdict(good=..., text=...).",
)
def named_samples(subject: Subject) -> None:  # noqa: D103
    chosen = samples()
    result = compute(make(subject), chosen)
    verdicts = result.get("verdicts", {})
    strangers = {*result.get("examples", ()), *verdicts} - {sample.id for sample in chosen}
    if strangers:
        raise Broken(f"it names {min(strangers)!r:.40}, which no sample is called.")
    for id, said in verdicts.items():
        if not isinstance(said.get("good"), bool) or not isinstance(said.get("text"), str):
            raise Broken(f"the verdict on {id!r:.40} is {said!r:.60}.")
