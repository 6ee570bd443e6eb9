"""Evaluation: metrics over samples, ours or anybody's, written to metrics.json with protocol, counts and versions.

What a metric gets and gives is declared in core/interfaces.py (`MetricContext`, `Metric.compute`). Samples and crystals
that come from files lie on disk (core/system/sequences.py): a metric reads them as often as it likes, but should not make
a list of them.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.executor import PROCESSES
from crystalfw.core.discovery import registry
from crystalfw.core.errors import CrystalfwError, PluginError
from crystalfw.core.evaluate.asked import write_asked
from crystalfw.core.evaluate.inputs import Crystals, Samples, load_crystals, load_samples, sample_path
from crystalfw.core.evaluate.protocols import Protocol as FieldProtocol
from crystalfw.core.evaluate.reference_sets import content_digest
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.interfaces import Metric, MetricContext, Representation
from crystalfw.core.recipe.options import build, checked, create
from crystalfw.core.recipe.schema import ComponentSpec, EvaluateSection, Recipe
from crystalfw.core.records import Sample
from crystalfw.core.system.versions import versions

FORMAT = 1
_STORE = "metrics.partial"


class Outcomes(Protocol):
    """Id -> value, as pairs that need not be in memory."""

    def items(self) -> Iterable[tuple[str, float]]:
        """The pairs; may be asked for more than once."""
        ...


@dataclass(frozen=True)
class Evaluated:
    """What one metric gave, or why it gave nothing."""

    metric: str
    version: str
    origin: str
    options: Mapping[str, Any]
    seconds: float
    result: Mapping[str, Any]
    error: str = ""
    outcomes: Mapping[str, Outcomes] = field(default_factory=dict)
    """Measure -> sample or reference id -> value; written to outcomes.csv, not to metrics.json."""


def evaluate(
    samples: Samples,
    reference: Crystals = None,
    metrics: Sequence[ComponentSpec] = EvaluateSection().metrics,
    *,
    training: Crystals = None,
    out: str | Path | None = None,
    workers: int = 0,
    executor: str = PROCESSES,
    match_by_id: bool = False,
    quiet: bool = False,
    protocol: FieldProtocol | None = None,
    bench: Workbench | None = None,
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Compute metrics over samples; returns what is written to `out`/metrics.json (nothing is written without `out`).

    `samples`: a table of samples, a run folder, a CSV or parquet with a `cif` column, a folder or zip of structure files,
    Sample objects, or crystals (Crystal, pymatgen Structure, ASE Atoms, a list of them). `reference`, `training`: crystals
    or a path; of a folder with parts the test and train part.
    `match_by_id` takes the id of a sample as the id of its reference. A killed evaluation continues where it stopped.
    `protocol`: the protocol that the metrics come from, for the record. `bench` is shared by several evaluations, which then
    work out what they have in common once; `names` says where `reference` and `training` come from, for those in memory.
    """
    components = [_create(spec) for spec in metrics]
    folder = Path(out) if out is not None else None
    asked = load_samples(samples, match_by_id=match_by_id, quiet=quiet, folder=folder)
    known = load_crystals(reference, "test", quiet=quiet, folder=folder)
    train = load_crystals(training, "train", quiet=quiet, folder=folder)
    store = folder / _STORE if folder is not None else None
    results: dict[str, Evaluated] = {}
    own = Workbench(workers=workers, executor=executor, store=store, quiet=quiet) if bench is None else nullcontext(bench)
    with own as work:
        context = MetricContext(bench=work, train=train, key=_canonical_key(), run_dir=_folder_of(samples))
        for spec, (metric, options, origin) in zip(metrics, components, strict=True):
            began, (result, problem) = time.monotonic(), _compute(metric, asked, known, context)
            seconds = round(time.monotonic() - began, 3)
            outcomes = result.pop("outcomes", {})
            name = _fresh(spec.label or spec.name, results)
            results[name] = Evaluated(spec.name, metric.version, origin, options, seconds, result, problem, outcomes)
    record: dict[str, Any] = finite(_record(samples, asked, reference, known, training, train, results))
    if protocol is not None:
        record["protocol"] = protocol.record()
    for side, name in (names or {}).items():
        record[side]["from"] = name
    if folder is not None and store is not None:
        _write_outcomes(folder / "outcomes.csv", results)
        verdicts = {id: said for item in results.values() for id, said in item.result.get("verdicts", {}).items()}
        write_asked(folder / "asked.csv", asked, known, train, verdicts=verdicts)
        write_json(folder / "metrics.json", record)
        if bench is None:
            store.unlink(missing_ok=True)
    return record


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write JSON in one go, numbers that are not finite as null."""
    from crystalfw.core.system.files import write_text_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(finite(record), indent=2, allow_nan=False)
    write_text_atomically(path, text + "\n")


def finite(value: Any) -> Any:
    """The value with NaN and infinities as None, as JSON demands."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _create(spec: ComponentSpec) -> tuple[Metric, dict[str, Any], str]:
    """The metric, its options as used, and the distribution it comes from."""
    spec = checked("metric", spec)
    metric: Metric = build("metric", spec)
    return metric, asdict(spec.config), str(registry().get("metric", spec.name, override=spec.override).origin)


def _compute(
    metric: Metric, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext
) -> tuple[dict[str, Any], str]:
    """Result and problem of one metric; what it cannot do is recorded and does not take the other metrics with it."""
    try:
        return metric.compute(samples, reference, context), ""
    except CrystalfwError as error:
        return {}, str(error)


def _record(
    samples: Samples,
    asked: Sequence[Sample],
    reference: Crystals,
    known: Sequence[Crystal],
    training: Crystals,
    train: Sequence[Crystal],
    results: Mapping[str, Evaluated],
) -> dict[str, Any]:
    lines = [line for item in results.values() for line in item.result.get("summary", ())]
    return {
        "format": FORMAT,
        "samples": {"from": _name(samples), "count": len(asked), "seeds": sorted({sample.seed for sample in asked})[:20]},
        "reference": {"from": _name(reference), "count": len(known), "sha256": content_digest(known)},
        "training": {"from": _name(training), "count": len(train), "sha256": content_digest(train)},
        "metrics": {name: _plain(item) for name, item in results.items()},
        "summary": lines,
        "failed": {name: item.error for name, item in results.items() if item.error},
        "versions": versions(),
    }


def _plain(item: Evaluated) -> dict[str, Any]:
    return {key: value for key, value in vars(item).items() if key != "outcomes"}


def _write_outcomes(path: Path, results: Mapping[str, Evaluated]) -> None:
    """Per-sample (or per-reference) values: what paired comparisons between runs need."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["metric", "measure", "id", "value"])
        for name, item in results.items():
            for measure, values in item.outcomes.items():
                writer.writerows([name, measure, id, repr(float(value))] for id, value in values.items())


@dataclass(frozen=True)
class CanonicalKey:
    """A representation's key of a crystal; sent to worker processes as the representation's name alone."""

    representation: str

    def __call__(self, crystal: Crystal) -> str:
        """'' where the representation cannot write the crystal: an empty key decides nothing."""
        return _representation(self.representation).key(crystal)


@cache
def _representation(name: str) -> Representation:
    found: Representation = create("representation", name)
    return found


def _canonical_key() -> CanonicalKey | None:
    """The key of the representation that recipes take by default; None where it is not installed."""
    name = Recipe().representation.name
    try:
        _representation(name)
    except PluginError:
        return None
    return CanonicalKey(name)


def _folder_of(samples: Samples) -> Path | None:
    return sample_path(samples).parent if isinstance(samples, (str, Path)) else None


def _name(crystals: Any) -> str | None:
    return str(crystals) if isinstance(crystals, (str, Path)) else None if crystals is None else "given in Python"


def _fresh(name: str, taken: Mapping[str, Any]) -> str:
    """The name, with `-2`, `-3` for the next of a kind in a list."""
    names = [name, *(f"{name}-{count}" for count in range(2, len(taken) + 2))]
    return next(free for free in names if free not in taken)
