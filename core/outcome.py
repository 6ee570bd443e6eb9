"""What follows a fit: samples, evaluation and report; or, for a model that predicts, predictions on the test part."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric

from crystalfw.core.crystal import Crystal
from crystalfw.core.data import Part
from crystalfw.core.discovery import plugins
from crystalfw.core.errors import Interrupted
from crystalfw.core.files import open_atomically, write_atomically
from crystalfw.core.prediction import Tally
from crystalfw.core.progress import Progress
from crystalfw.core.samples import COLUMNS, SampleWriter, read_rows, sample_id, write_cifs
from crystalfw.core.setup import Say, Setup
from crystalfw.core.signals import StopRequest
from crystalfw.core.spool import Spool
from crystalfw.core.trained import Request, Trained


def after_fit(fabric: Fabric, setup: Setup, run_dir: Path, say: Say) -> None:
    """Sample and evaluate with the best checkpoint; every rank samples its share, rank 0 evaluates and reports."""
    trained = Trained.load(run_dir, which="best", device=str(fabric.device))
    if setup.generator.decoder.needs_tokens:
        request = run_request(setup, trained)
        if fabric.is_global_zero:
            merge_tables(run_dir / "samples.csv")  # what an earlier start made, with whatever number of processes
        fabric.barrier()
        sample_to_table(
            trained, request, run_dir / "samples.csv", rank=fabric.global_rank, world_size=fabric.world_size, resume=True
        )
        fabric.barrier()
        if fabric.is_global_zero:
            merge_tables(run_dir / "samples.csv")
            finish_samples(run_dir / "samples.csv", say)
            evaluate_run(setup, run_dir, say)
    elif fabric.is_global_zero and hasattr(setup.generator.decoder, "predict"):
        write_predictions(trained, setup.dataset.parts.get("test"), run_dir, say)
    if fabric.is_global_zero:
        from crystalfw.core.report import write_report

        say(f"report: {write_report(run_dir)}")


def run_request(setup: Setup, trained: Trained) -> Request:
    """The request of the recipe's sample section, conditions taken from the part that it names."""
    section = setup.recipe.sample
    conditions: tuple[Crystal, ...] = ()
    if setup.generator.uses_memory and setup.generator.encoder.requires:
        part = setup.dataset.parts.get(section.conditions) or setup.dataset.parts["train"]
        asked = -(-section.n // section.rows_per_condition)
        conditions = tuple(part.crystal(k) for k in range(min(asked, len(part))))
    return Request(settings=section, seed=setup.recipe.seed, conditions=conditions)


def shard_path(path: Path, rank: int, world_size: int) -> Path:
    """Where a rank writes its share; the table itself for a single process."""
    return path if world_size == 1 else path.with_name(f"{path.stem}.rank{rank}of{world_size}{path.suffix}")


def sample_to_table(
    trained: Trained, request: Request, path: Path, *, rank: int = 0, world_size: int = 1, resume: bool = False
) -> int:
    """Write this rank's share of the samples as they come; finished ones are not made again. Raises Interrupted."""
    own = shard_path(path, rank, world_size)
    before = {row["id"] for row in read_rows(path)} if own != path and path.exists() else set()
    with SampleWriter(own, resume=resume) as writer, StopRequest() as stop:
        wanted = open_indices(request.settings.n, before | writer.done, rank, world_size, block=request.block)
        tally = Tally()
        progress = Progress("samples", len(wanted)) if rank == 0 and wanted else None
        for count, sample in enumerate(trained.samples(request, indices=wanted, tally=tally), start=1):
            if sample.id not in before and sample.id not in writer.done:
                writer.append(sample)
            if progress is not None:
                progress.update(count)
            if stop.requested:
                done = f"stopped by {stop.requested} after {len(writer.done)} samples in {own}"
                raise Interrupted(f"{done}; the same command goes on from there", signal=stop.requested)
        if progress is not None:
            progress.close(str(tally) if request.settings.predicts else "")
        return len(writer.done)


def open_indices(n: int, done: Collection[str], rank: int, world_size: int, *, block: int) -> list[int]:
    """This rank's blocks that are not complete, whole: a block made again gives the same bits, a part of it might not."""
    wanted: list[int] = []
    for start in range(rank * block, n, world_size * block):
        own = range(start, min(start + block, n))
        if any(sample_id(index) not in done for index in own):
            wanted.extend(own)
    return wanted


def merge_tables(path: Path) -> None:
    """One table, in the order of sample ids, from it and the shares of ranks beside it; torn last rows are cut off.

    The table is whole before a share is removed, so that a kill at any moment loses nothing.
    """
    shards = sorted(path.parent.glob(f"{path.stem}.rank*of*{path.suffix}"))
    if not shards:
        return
    place: dict[str, int] = {}
    rows = Spool(_rows_of([path, *shards], place), path.parent)
    with open_atomically(path) as file:
        writer = csv.DictWriter(codecs.getwriter("utf-8")(file), COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[place[name]] for name in sorted(place))
    for shard in shards:
        shard.unlink()


def _rows_of(tables: Sequence[Path], place: dict[str, int]) -> Iterator[dict[str, str]]:
    """The rows of all tables, and in `place` where among them the last row of each id is."""
    count = 0
    for table in tables:
        if table.exists():
            SampleWriter(table, resume=True).close()
            for row in read_rows(table):
                place[row["id"]] = count
                count += 1
                yield row


def finish_samples(path: Path, say: Say) -> None:
    """CIF files beside the table, and the hook."""
    folder = path.parent / "cifs"
    count = write_cifs(path, folder)
    say(f"samples: {path}, {count} CIF files in {folder}")
    plugins().notify("samples_ready", samples_path=path, count=count)


def evaluate_run(setup: Setup, run_dir: Path, say: Say) -> None:
    """Metrics of the recipe over the run's samples, against the test part and, for novelty, the train part."""
    from crystalfw.core.evaluation import evaluate

    parts = setup.dataset.parts
    section = setup.recipe.evaluate
    reference = section.reference if section.reference else crystals_of(parts.get("test"))
    data = setup.recipe.data
    results = evaluate(
        run_dir / "samples.csv", reference, section.metrics, training=crystals_of(parts["train"]), out=run_dir,
        workers=data.workers, executor=data.executor,
    )  # fmt: skip
    say(f"metrics: {run_dir / 'metrics.json'}")
    for line in results.get("summary", ()):
        say(f"  {line}")


def crystals_of(part: Part | None) -> Sequence[Crystal]:
    """The crystals of a part, read as they are needed."""
    return [] if part is None else _PartCrystals(part)


class _PartCrystals(Sequence[Crystal]):
    def __init__(self, part: Part) -> None:
        self.part = part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> Crystal:  # type: ignore[override]
        if not 0 <= index < len(self.part):
            raise IndexError(index)
        return self.part.crystal(index)


def write_predictions(trained: Trained, part: Part | None, run_dir: Path, say: Say) -> None:
    """predictions.csv (id, column, target, predicted) and metrics.json with MAE and RMSE of every column."""
    crystals = list(crystals_of(part))
    if not crystals:
        say("no test part: no predictions")
        return
    predicted = trained.predict(crystals)
    errors: dict[str, dict[str, float]] = {}
    with (run_dir / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "column", "target", "predicted"])
        for name, values in predicted.items():
            target = np.array([crystal.properties.get(name, np.nan) for crystal in crystals])
            known = np.isfinite(target)
            for crystal, true, value in zip(crystals, target, values, strict=True):
                writer.writerow([crystal.id, name, repr(float(true)), repr(float(value))])
            error = values[known] - target[known]
            spread = np.abs(target[known] - np.median(target[known]))
            errors[name] = {
                "mae": float(np.abs(error).mean()),
                "rmse": float(np.sqrt((error**2).mean())),
                "mae_of_the_median": float(spread.mean()),
                "crystals": int(known.sum()),
            }
            say(f"{name}: test MAE {errors[name]['mae']:.4f} ({errors[name]['mae_of_the_median']:.4f} by always the median)")
    write_atomically(run_dir / "metrics.json", json.dumps({"prediction": errors}, indent=2).encode())
