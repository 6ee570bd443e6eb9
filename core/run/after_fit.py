"""What follows a fit: samples, evaluation and report; or, for a model that predicts, predictions on the test part."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import PropertyDecoder
from crystalfw.core.model import checkpoint
from crystalfw.core.predict.joint import Joint, fit_weight
from crystalfw.core.run.predictor import judged_metrics
from crystalfw.core.run.setup import Setup
from crystalfw.core.sample.outcome import outcome_lines
from crystalfw.core.sample.request import Request, needed_conditions
from crystalfw.core.sample.trained import Trained
from crystalfw.core.sample.writing import finish_samples, merge_tables, sample_to_table
from crystalfw.core.system.files import write_text_atomically
from crystalfw.core.system.progress import Say


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
            for line in outcome_lines(run_dir / "samples.csv"):
                say(f"  {line}")
            evaluate_run(setup, run_dir, say)
    elif fabric.is_global_zero and isinstance(setup.generator.decoder, PropertyDecoder):
        keep_calibration(trained, setup.dataset.splits.get("val", ()), run_dir)
        write_predictions(trained, setup.dataset.splits.get("test", ()), run_dir, say)
    if fabric.is_global_zero and trained.lookup is not None and setup.recipe.retrieval.tune:
        known = setup.dataset.splits.get("val", ())[: setup.recipe.retrieval.tune]
        fit_weight(Joint(trained, setup.recipe.name), known, run_dir, say)
    if fabric.is_global_zero:
        from crystalfw.core.evaluate.report import write_report

        say(f"report: {write_report(run_dir)}")


def run_request(setup: Setup, trained: Trained) -> Request:
    """The request of the recipe's sample section, conditions taken from the part that it names."""
    section = setup.recipe.sample
    conditions: tuple[Crystal, ...] = ()
    if setup.generator.uses_memory and setup.generator.encoder.requires:
        split = setup.dataset.splits.get(section.conditions) or setup.dataset.splits["train"]
        conditions = tuple(split[: needed_conditions(section, section.n)])
    return trained.request(section, seed=setup.recipe.seed, conditions=conditions)


def evaluate_run(setup: Setup, run_dir: Path, say: Say) -> None:
    """Metrics of the recipe over the run's samples, against the test part and, for novelty, the train part."""
    from crystalfw.core.evaluate.evaluation import evaluate

    splits = setup.dataset.splits
    section = setup.recipe.evaluate
    reference = section.reference if section.reference else splits.get("test", ())
    data = setup.recipe.data
    results = evaluate(
        run_dir / "samples.csv", reference, judged_metrics(setup, run_dir, say), training=splits["train"], out=run_dir,
        workers=data.workers, executor=data.executor,
    )  # fmt: skip
    say(f"metrics: {run_dir / 'metrics.json'}")
    for line in results.get("summary", ()):
        say(f"  {line}")
    for name, problem in results["failed"].items():
        say(f"  {name}: not measured: {problem}")


def keep_calibration(trained: Trained, validation: Sequence[Crystal], run_dir: Path) -> None:
    """Find how far predictions are off on the validation part, and keep it in the best checkpoint."""
    factors = trained.calibrate(list(validation)) if len(validation) else {}
    path = checkpoint.find(run_dir, "best")
    checkpoint.save(path, {**checkpoint.load(path), "calibration": factors})


def write_predictions(trained: Trained, test: Sequence[Crystal], run_dir: Path, say: Say) -> None:
    """predictions.csv (id, column, target, predicted, half of the 90 % interval) and metrics.json with the errors of every
    column and the share of them inside the interval."""
    crystals = list(test)
    if not crystals:
        say("no test part: no predictions")
        return
    predicted = trained.predict_with_errors(crystals)
    errors: dict[str, dict[str, float]] = {}
    with (run_dir / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "column", "target", "predicted", "half_of_90_percent"])
        for name, (values, half) in predicted.items():
            target = np.array([crystal.properties.get(name, np.nan) for crystal in crystals])
            known = np.isfinite(target)
            for crystal, true, value, off in zip(crystals, target, values, half, strict=True):
                writer.writerow([crystal.id, name, repr(float(true)), repr(float(value)), repr(float(off))])
            if not known.any():
                say(f"{name}: no test crystal has a value; its error is not known")
                continue
            error = values[known] - target[known]
            spread = np.abs(target[known] - np.median(target[known]))
            errors[name] = {
                "mae": float(np.abs(error).mean()),
                "rmse": float(np.sqrt((error**2).mean())),
                "mae_of_the_median": float(spread.mean()),
                "crystals": int(known.sum()),
            }
            if np.isfinite(half).all():
                errors[name]["inside_90"] = float((np.abs(error) <= half[known]).mean())
            say(f"{name}: test MAE {errors[name]['mae']:.4f} ({errors[name]['mae_of_the_median']:.4f} by always the median)")
    write_text_atomically(run_dir / "metrics.json", json.dumps({"prediction": errors}, indent=2))
