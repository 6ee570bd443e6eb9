"""The property predictor that judges a run's samples: one that the recipe names, or one that is trained for the run.

`evaluate.predictor: train` trains the recipe `regress` on the run's data and for the columns that its encoder is asked by, in a
process of its own, in RUN/predictor; a restart finds it done or resumes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from crystalfw.core.errors import CheckpointError, CrystalfwError, RecipeError
from crystalfw.core.model.assembly import property_columns
from crystalfw.core.packaged import located
from crystalfw.core.recipe import expand, load_recipe
from crystalfw.core.recipe.schema import ComponentSpec, Recipe
from crystalfw.core.run.ablation.jobs import Job, run_jobs
from crystalfw.core.run.setup import Setup
from crystalfw.core.sample.judge import NONE
from crystalfw.core.system.progress import Say

TRAIN = "train"
JUDGES = "conditional"
"""The metric that takes a predictor."""


def judged_metrics(setup: Setup, run_dir: Path, say: Say) -> Sequence[ComponentSpec]:
    """The recipe's metrics; `conditional` is among them and knows the predictor where the recipe names one.

    Raises CrystalfwError where the training of a predictor fails, Interrupted after a signal.
    """
    section = setup.recipe.evaluate
    if section.predictor is None:
        return section.metrics
    predictor = section.predictor
    if predictor == TRAIN:
        predictor = str(_train(setup.recipe, property_columns(setup.generator.encoder.requires), run_dir, say))
    known = any(spec.name == JUDGES for spec in section.metrics)
    metrics = section.metrics if known else (*section.metrics, ComponentSpec(name=JUDGES))
    return [_told(spec, predictor) for spec in metrics]


def check_predictor(recipe: Recipe, requires: frozenset[str], processes: int) -> None:
    """Raise RecipeError before anything runs where a predictor that is named is missing, or one cannot be trained."""
    for key, name in (("sample.judge", recipe.sample.judge), ("evaluate.predictor", recipe.evaluate.predictor)):
        if name in (None, NONE, TRAIN):
            continue
        try:
            located(name)
        except CheckpointError as error:
            raise RecipeError([f"{key}: {error}"]) from error
    if recipe.evaluate.predictor != TRAIN:
        return
    if not property_columns(requires):
        raise RecipeError(["evaluate.predictor: train: the encoder is asked by no property; leave it out"])
    if processes > 1:
        raise RecipeError(
            [
                "evaluate.predictor: train: the run has several processes, which would wait for it; train a predictor with "
                "`crystalfw run regress` and name its run folder"
            ]
        )


def _told(spec: ComponentSpec, predictor: str) -> ComponentSpec:
    """The metric `conditional` with this predictor, unless its own options name one; other metrics as they are."""
    if spec.name != JUDGES or spec.options.get("predictor") is not None:
        return spec
    return replace(spec, options={**spec.options, "predictor": predictor}, config=None)


def _train(recipe: Recipe, columns: Sequence[str], run_dir: Path, say: Say) -> Path:
    minutes = recipe.fit.max_minutes
    limit = [] if minutes is None else [f"fit.max_minutes={minutes}"]
    own = load_recipe("regress", [f"model.decoder.columns=[{', '.join(columns)}]", f"seed={recipe.seed}", *limit])
    threads = recipe.fabric.threads or 1
    own = replace(own, data=recipe.data, fabric=replace(recipe.fabric, devices=1, threads=threads), name="run", run_dir=".")
    job = Job(0, recipe.seed, expand(own), run_dir.resolve() / "predictor" / "regress", f"predictor of {', '.join(columns)}")
    run_jobs([job], cores=threads, threads=threads, say=say)
    if job.failure:
        raise CrystalfwError(f"the predictor's training failed; its log ends with\n{job.failure}")
    return job.run_dir
