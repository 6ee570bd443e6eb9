"""The referee: one table or several, baselines beside them, judged on the same questions by the same metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystalfw.core.data.executor import PROCESSES
from crystalfw.core.errors import CrystalfwError, DataError
from crystalfw.core.evaluate.comparison import Judged, comparison, folder_of, write_differences
from crystalfw.core.evaluate.contenders import Contender, is_free, load, make_baseline, wanted_like
from crystalfw.core.evaluate.evaluation import evaluate, finite, write_json
from crystalfw.core.evaluate.inputs import Crystals, load_crystals
from crystalfw.core.evaluate.protocols import Protocol
from crystalfw.core.evaluate.reference_sets import content_digest
from crystalfw.core.evaluate.report import write_report
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.recipe.schema import ComponentSpec
from crystalfw.core.records import Sample
from crystalfw.core.system.versions import versions

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a comparison is asked for."""

    tables: Sequence[Contender]
    metrics: Sequence[ComponentSpec]
    reference: Crystals = None
    training: Crystals = None
    names: dict[str, str]
    """`reference` and `training` -> what they are called in the record."""
    baselines: Sequence[ComponentSpec] = ()
    protocol: Protocol | None = None
    seed: int = 0
    match_by_id: bool = False


def referee(
    request: Request, out: Path, *, workers: int = 0, executor: str = PROCESSES, quiet: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:  # fmt: skip
    """Judge all, compare them with the first, write the folder; returns what is written to out/metrics.json.

    Raises DataError where tables and reference have nothing in common, or a baseline needs training crystals. A second
    start continues: finished baselines are taken as they are.
    """
    reference = load_crystals(request.reference, "test", quiet=quiet, folder=out)
    train = load_crystals(request.training, "train", quiet=quiet, folder=out)
    first = load(request.tables[0], match_by_id=request.match_by_id, quiet=quiet, folder=out)
    samples = {request.tables[0].name: first}
    for table in request.tables[1:]:
        samples[table.name] = load(table, match_by_id=request.match_by_id, quiet=quiet, folder=out)
    for name, found in samples.items():
        check_overlap(name, found, {crystal.id for crystal in reference})
    contenders, refused = list(request.tables), list[str]()
    wanted = wanted_like(first, reference) if request.baselines else []
    for spec in request.baselines:
        folder = folder_of(out, f"baseline {spec.label or spec.name}")
        try:
            made = make_baseline(spec, wanted, train, folder, free=is_free(first), seed=request.seed, say=say)
        except CrystalfwError as error:
            if len(request.baselines) == 1 or not isinstance(error, DataError):
                raise
            refused.append(f"{spec.name}: {error}")
            continue
        contenders.append(made)
        samples[made.name] = load(made, match_by_id=False, quiet=quiet, folder=out)
    if request.baselines and len(contenders) == len(request.tables):
        raise DataError("; ".join(refused))
    judged = []
    with Workbench(workers=workers, executor=executor, store=out / "metrics.partial", quiet=quiet) as bench:
        for contender in contenders:
            folder = folder_of(out, contender.name)
            say(f"{contender.name}: judged in {folder}")
            evaluate(
                samples[contender.name], reference, request.metrics, training=train, out=folder, quiet=quiet,
                protocol=request.protocol, bench=bench, names={**request.names, "samples": str(contender.path)},
            )  # fmt: skip
            write_report(folder, samples=contender.path)
            judged.append(Judged(contender, folder, _questions(samples[contender.name])))
    record = _record(request, judged, reference, train, refused)
    write_json(out / "metrics.json", record)
    write_differences(record["comparison"], out / "comparison.csv")
    (out / "metrics.partial").unlink(missing_ok=True)
    write_report(out, samples=request.tables[0].path)
    return record


def check_overlap(name: str, samples: Sequence[Sample], known: set[str]) -> None:
    """Raise DataError where samples name reference crystals and none of them is there."""
    asked = {sample.reference_id for sample in samples if sample.reference_id}
    if asked and known and not asked & known:
        raise DataError(
            f"{name}: its samples name {len(asked)} reference crystals and none of them is in the reference "
            f"(asked for '{min(asked)}', there is '{min(known)}'): give the reference that the samples were made for"
        )


def _questions(samples: Sequence[Sample]) -> dict[str, str]:
    return {sample.id: sample.reference_id for sample in samples if sample.reference_id}


def _record(
    request: Request, judged: Sequence[Judged], reference: Sequence[Any], train: Sequence[Any], refused: Sequence[str]
) -> dict[str, Any]:
    compared = comparison(judged)
    compared["sentences"] += [f"left out: {line}" for line in refused]
    record = {
        "format": FORMAT,
        "samples": {"from": str(request.tables[0].path), "count": sum(1 for _ in judged[0].questions) or None},
        "reference": {"from": request.names.get("reference"), "count": len(reference), "sha256": content_digest(reference)},
        "training": {"from": request.names.get("training"), "count": len(train), "sha256": content_digest(train)},
        "seed": request.seed,
        "comparison": compared,
        "summary": compared["sentences"],
        "failed": {},
        "versions": versions(),
    }
    if request.protocol is not None:
        record["protocol"] = request.protocol.record()
    found: dict[str, Any] = finite(record)
    return found
