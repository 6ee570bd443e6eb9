"""One run: data, fit, samples, evaluation, report, in a run folder that is enough to reproduce it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from lightning_fabric import Fabric

from crystalfw.core.data import Loader
from crystalfw.core.discovery import plugins
from crystalfw.core.errors import CheckpointError, CrystalfwError, Interrupted
from crystalfw.core.model.checkpoint import load as load_checkpoint
from crystalfw.core.model.component_versions import component_versions
from crystalfw.core.model.fit import Fit
from crystalfw.core.recipe import expand, load_recipe
from crystalfw.core.recipe.schema import FitSection, Recipe
from crystalfw.core.retrieval.lookup import carry
from crystalfw.core.run import after_fit as outcome
from crystalfw.core.run.folder import clear_temporaries, discard_unbegun, exclusive, link_newest, new_run_dir
from crystalfw.core.run.predictor import check_predictor
from crystalfw.core.run.setup import Setup, assemble, facts, initialise, launch
from crystalfw.core.run.slurm import REQUEUED_BY, earlier, forget, remember, requeue
from crystalfw.core.run.start_weights import write_starts
from crystalfw.core.sample.drawn import remembered
from crystalfw.core.sample.trained import RETRIEVAL
from crystalfw.core.system.files import write_atomically, write_text_atomically
from crystalfw.core.system.progress import Say
from crystalfw.core.system.ranks import watched_peers
from crystalfw.core.system.signals import Stopped, stopping_at_once

HOW = ("fabric.", "fit.accumulate=", "data.workers=", "data.cache=")
"""Keys that change how a run is done and nothing of its result but rounding."""


def run_recipe(
    recipe: Recipe, *, resume: Path | None = None, checkpoint: str = "last", dry_run: bool = False, say: Say = print
) -> Path | None:
    """Train, sample, evaluate and report; returns the run folder (None for a dry run).

    Raises RecipeError before any data is read where the parts do not fit, Interrupted after a signal (state is saved).
    """
    asked = recipe
    fabric, recipe = launch(_as_before(recipe), say)
    say = say if fabric.is_global_zero else _silent
    if dry_run:
        with tempfile.TemporaryDirectory() as scratch:
            small = replace(recipe.data, cache=scratch, max_crystals=64)
            setup = assemble(fabric, replace(recipe, data=small), say)
            initialise(setup, say)
            _dry_run(fabric, setup, Path(scratch), say)
        return None
    run_dir, resumed = _folder(fabric, asked, resume, say)
    with watched_peers(fabric, run_dir), exclusive(run_dir) if fabric.is_global_zero else nullcontext():
        status, unbegun = "failed", False
        try:
            with stopping_at_once():
                if fabric.is_global_zero:
                    _begin(recipe, run_dir, checkpoint)
                _run(fabric, recipe, run_dir, resumed, say)
            status = "done"
        except (KeyboardInterrupt, Interrupted) as error:
            status = "interrupted"
            if fabric.is_global_zero and getattr(error, "signal", "SIGINT") == REQUEUED_BY:
                requeue(say)
            if isinstance(error, Interrupted):
                raise
            name = error.signal if isinstance(error, Stopped) else "Ctrl-C"
            raise Interrupted(f"stopped by {name}; continue with: crystalfw run --resume {run_dir}") from None
        except Exception as error:
            # with several processes a RuntimeError may only say that another one is gone: then the run can be resumed
            unbegun = not resumed and (fabric.world_size == 1 or not isinstance(error, RuntimeError))
            raise
        finally:
            if fabric.is_global_zero:
                plugins().notify("run_end", run_dir=run_dir, status=status)
                if unbegun and discard_unbegun(run_dir, recipe.name):
                    forget(asked)
    return run_dir


def _folder(fabric: Fabric, recipe: Recipe, resume: Path | None, say: Say) -> tuple[Path, bool]:
    """The run folder, the same on all ranks, and whether an earlier start made it."""
    found = resume
    if resume is None and fabric.is_global_zero:
        found = earlier(recipe)
        if found is not None:
            say(f"this job was queued again: resumes in {found}")
    resumed = found is not None
    if not resumed and fabric.is_global_zero:
        found = new_run_dir(recipe)
        remember(recipe, found)
    run_dir, resumed = fabric.broadcast((str(found), resumed))
    return Path(run_dir), resumed


def _as_before(recipe: Recipe) -> Recipe:
    """The recipe with the precision of this SLURM job's earlier start, if there was one: it continues as it began."""
    before = earlier(recipe)
    if before is None:
        return recipe
    kept = load_recipe(before / "recipe.yaml").fabric.precision
    return replace(recipe, fabric=replace(recipe.fabric, precision=kept))


def _begin(recipe: Recipe, run_dir: Path, checkpoint: str) -> None:
    """What must stand in the folder first of all: from here on a killed run can be resumed, also before data is prepared."""
    clear_temporaries(run_dir, run_dir / "checkpoints")
    write_text_atomically(run_dir / "recipe.yaml", expand(recipe))
    _take_up(run_dir, checkpoint)


def resume_run(run_dir: Path, *, checkpoint: str = "last", overrides: Sequence[str] = (), say: Say = print) -> Path | None:
    """Continue an interrupted run from its own recipe and a checkpoint: last, previous or best.

    `overrides` may say how the work is done (`fabric.*`, `fit.accumulate`, `data.workers`, `data.cache`), not what is done.
    """
    other = [text for text in overrides if not text.startswith(HOW)]
    if other:
        raise CrystalfwError(
            "--resume takes the recipe from the run folder, so that the result is the one of an uninterrupted run; only "
            f"{', '.join(HOW)} can be changed; leave out {' '.join(other)}"
        )
    path = run_dir / "recipe.yaml"
    if not path.exists():
        raise CheckpointError(f"{run_dir}: no recipe.yaml there, so it is not a run folder, or one in which nothing had begun")
    return run_recipe(load_recipe(path, overrides), resume=run_dir, checkpoint=checkpoint, say=say)


def _take_up(run_dir: Path, which: str) -> None:
    """Make another checkpoint the last one, for a run whose last one is damaged or unwanted."""
    if which == "last":
        return
    chosen = run_dir / "checkpoints" / f"{which}.pt"
    load_checkpoint(chosen)  # refuses one that is damaged as well
    write_atomically(run_dir / "checkpoints" / "last.pt", chosen.read_bytes())


def _run(fabric: Fabric, recipe: Recipe, run_dir: Path, resumed: bool, say: Say) -> None:
    setup = assemble(fabric, recipe, say)
    check_predictor(recipe, setup.generator.encoder.requires, fabric.world_size)
    if fabric.is_global_zero:
        _write_identity(setup, run_dir, fabric)
        if setup.retrieval is not None:
            carry(setup.retrieval, run_dir / RETRIEVAL)
    last = run_dir / "checkpoints" / "last.pt"
    going_on = resumed and last.exists()
    if not going_on:
        starts = initialise(setup, say)
        if starts and fabric.is_global_zero:
            write_starts(starts, run_dir)
    plugins().notify("fit_start", run_dir=run_dir, recipe={"text": expand(recipe)}, resumed=resumed)
    fit = setup.recipe.fit
    if fit.warmup == FitSection().warmup and 10 * fit.warmup > fit.steps:  # the default, perhaps never thought of
        say(f"fit: a warm-up of {fit.warmup} steps is long for {fit.steps}; a tenth is usual: fit.warmup={fit.steps // 10}")
    state = fit_setup(fabric, setup, run_dir).run(last if going_on else None)
    say(f"fit: {state.finished} at step {state.step}, best validation loss {state.best_loss:.4f} at step {state.best_step}")
    outcome.after_fit(fabric, setup, run_dir, say)


def fit_setup(fabric: Fabric, setup: Setup, run_dir: Path) -> Fit:
    """The fit of an assembled recipe in a run folder."""
    payload = {
        "recipe": expand(setup.recipe), "name": setup.recipe.name, "provenance": json.dumps(facts(setup, fabric)),
        "components": component_versions(setup.recipe),
        "training_columns": remembered(setup.dataset.splits["train"].columns, frozenset(setup.generator.encoder.requires)),
    }  # fmt: skip
    return Fit(
        fabric, setup.generator, setup.dataset.splits, setup.recipe.fit, setup.loader_options,
        run_dir=run_dir, payload=payload, first_checkpoint=lambda: link_newest(run_dir, setup.recipe.name),
    )  # fmt: skip


def _dry_run(fabric: Fabric, setup: Setup, scratch: Path, say: Say) -> None:
    generator = setup.generator
    for kind in ("encoder", "conditioning", "decoder"):
        part = type(getattr(generator, kind))
        say(f"{kind}: {part.__module__}.{part.__name__}")
    options = replace(
        setup.loader_options, batch_size=min(8, setup.recipe.fit.batch_size), accumulate=1, augment=False,
        rank=fabric.global_rank, world_size=fabric.world_size,
    )  # fmt: skip
    batch = next(Loader(setup.dataset.splits["train"], options).batches(0))
    say(f"batch: {batch.crystals.size} crystals, {len(batch.crystals.numbers)} atoms")
    if batch.tokens is not None:
        say(f"tokens: {tuple(batch.tokens.ids.shape)} of a vocabulary of {len(setup.components.representation.vocabulary)}")
    if generator.uses_memory:
        memory = generator.memory(batch.crystals)
        say(f"memory: tokens {tuple(memory.tokens.shape)}, pooled {tuple(memory.pooled.shape)}")
    one = replace(setup.recipe.fit, steps=1, log_every=1, validation_batches=1, max_minutes=None)
    (scratch / "checkpoints").mkdir()
    state = fit_setup(fabric, replace(setup, recipe=replace(setup.recipe, fit=one)), scratch).run()
    say(f"one step taken, validation loss {state.best_loss:.4f}; dry run: nothing was written")


def _write_identity(setup: Setup, run_dir: Path, fabric: Fabric) -> None:
    write_text_atomically(run_dir / "provenance.json", json.dumps(facts(setup, fabric), indent=2))
    write_atomically(run_dir / "rejected.csv", setup.dataset.rejected_path.read_bytes())


def _silent(message: str) -> None:
    """Ranks other than 0 say nothing."""
