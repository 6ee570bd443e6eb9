"""A recipe made ready to train: processes, components, data and weights.

The order is Fabric's: launch, assemble (parts check each other before data is read), prepare on rank 0, then everywhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from crystalfw.core.data import Dataset, LoaderOptions, prepare
from crystalfw.core.data.prepare import ReportProgress
from crystalfw.core.errors import CrystalfwError, DataError
from crystalfw.core.interfaces import SequenceDecoder
from crystalfw.core.model.assembly import Components, build_components, build_generator, needed_columns
from crystalfw.core.model.generator import Generator, parameter_counts
from crystalfw.core.model.precision import FLOAT32, decide
from crystalfw.core.recipe import recipe_to_dict
from crystalfw.core.recipe.schema import AUTO_PRECISION, FabricSection, Recipe
from crystalfw.core.retrieval.prepare import retrieve
from crystalfw.core.run.provenance import provenance
from crystalfw.core.run.start_weights import Start, start_weights
from crystalfw.core.sample.training_range import training_ranges
from crystalfw.core.system.progress import Progress, Say


@dataclass(frozen=True)
class Setup:
    """Everything assembled for one recipe."""

    recipe: Recipe
    components: Components
    generator: Generator
    dataset: Dataset
    retrieval: Path | None = None
    """Folder of the library and the retriever, where the encoder reads templates."""

    @property
    def loader_options(self) -> LoaderOptions:
        """How the recipe and the model want their training batches, for a single process."""
        fit, decoder = self.recipe.fit, self.generator.decoder
        return LoaderOptions(
            batch_size=fit.batch_size, seed=self.recipe.seed, accumulate=fit.accumulate, augment=fit.augment,
            representation=self.components.representation if decoder.needs_tokens else None,
            train_transforms=self.components.train,
            cutoff=self.generator.encoder.cutoff if self.generator.uses_memory else None,
            max_length=decoder.max_length if isinstance(decoder, SequenceDecoder) else None,
        )  # fmt: skip


def make_fabric(section: FabricSection) -> Fabric:
    """Fabric as the recipe says, but for the precision `auto`, which `launch` decides.

    With several processes, preparation may take hours before the first exchange.
    """
    if section.threads is not None:
        torch.set_num_threads(section.threads)
    strategy: Any = section.strategy
    several = section.num_nodes > 1 or section.devices not in (1, "1")
    if strategy == "ddp" or (strategy == "auto" and several and section.devices not in ("auto", -1, "-1")):
        # A strategy may leave parts of the encoder unused, e.g. its pooling under cross-attention.
        strategy = DDPStrategy(find_unused_parameters=True, timeout=timedelta(hours=12))
    elif strategy == "fsdp":
        from crystalfw.core.model.sharding import fsdp_strategy

        devices = section.devices if str(section.devices).isdigit() else max(1, torch.cuda.device_count())
        strategy = fsdp_strategy(int(devices) * section.num_nodes)
    try:
        return Fabric(
            accelerator=section.accelerator, devices=section.devices, num_nodes=section.num_nodes,
            strategy=strategy, precision=section.precision,  # type: ignore[arg-type]
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:  # e.g. no such device on this machine
        given = ", ".join(f"{name}={getattr(section, name)}" for name in ("accelerator", "devices", "strategy", "precision"))
        raise CrystalfwError(f"section fabric ({given}) cannot be met here: {error}") from error


def launch(recipe: Recipe, say: Say) -> tuple[Fabric, Recipe]:
    """Start the processes; the recipe comes back with the precision that rank 0 decided and all compute in."""
    section = recipe.fabric
    began = replace(section, precision=FLOAT32) if section.precision == AUTO_PRECISION else section
    fabric = make_fabric(began)
    fabric.launch()
    decided, told = decide(section.precision, fabric.device) if fabric.is_global_zero else ("", "")
    if told:
        say(told)
    chosen = replace(section, precision=fabric.broadcast(decided))
    if chosen != began:  # the measurement needs the device; the processes are there already, a second launch starts none
        fabric = make_fabric(chosen)
        fabric.launch()
    return fabric, replace(recipe, fabric=chosen)


def assemble(fabric: Fabric, recipe: Recipe, say: Say) -> Setup:
    """Components, weights and data; components are checked against each other before the data is read."""
    components = build_components(recipe)
    generator = build_generator(recipe, components.representation)
    say(f"model: {_counts(generator)}")
    dataset = _prepare(fabric, recipe, components, generator, say)
    columns = needed_columns(recipe, generator)
    origin = recipe.data.path or f"source {recipe.data.source.name}"
    missing = [name for name in columns if name not in dataset.columns]
    if missing:
        has = ", ".join(dataset.columns) or "none"
        remarks = "".join(f"\n  {remark}" for remark in components.source.remarks())
        raise DataError(f"{origin}: no property column {', '.join(missing)}; it has {has}{remarks}")
    if not len(dataset.splits.get("train", ())):
        raise DataError(f"{origin}: no usable crystal in the train part; see {dataset.rejected_path}")
    generator.encoder.fit_statistics(dataset.splits["train"].columns)
    generator.decoder.fit_statistics(dataset.splits["train"].columns)
    retrieval = _retrieve(recipe, components, generator, dataset, say) if fabric.is_global_zero else None
    fabric.barrier()
    if not fabric.is_global_zero:
        retrieval = _retrieve(recipe, components, generator, dataset, say)
    return Setup(recipe, components, generator, dataset, retrieval)


def _retrieve(recipe: Recipe, components: Components, generator: Generator, dataset: Dataset, say: Say) -> Path | None:
    """Strings of known crystals for every crystal, where the encoder reads them; the folder of what they come from."""
    n = generator.encoder.templates if generator.uses_memory else 0
    return retrieve(dataset, recipe.retrieval, components.representation, n, recipe.data, recipe.seed, say) if n else None


def initialise(setup: Setup, say: Say) -> list[Start]:
    """Weights of other runs, where the recipe says that training starts from them. Raises CheckpointError."""
    return start_weights(setup.recipe, setup.components, setup.generator, say)


def prepare_only(recipe: Recipe) -> Dataset:
    """The data as the recipe's runs will find it in the cache; nothing is trained."""
    components = build_components(recipe)
    generator = build_generator(recipe, components.representation)
    dataset = _dataset(recipe, components, generator, Progress("prepare", None).update)
    _retrieve(recipe, components, generator, dataset, print)
    return dataset


def _prepare(fabric: Fabric, recipe: Recipe, components: Components, generator: Generator, say: Say) -> Dataset:
    if fabric.is_global_zero:
        _dataset(recipe, components, generator, Progress("prepare", None).update)
    fabric.barrier()
    dataset = _dataset(recipe, components, generator, None)
    say(dataset.summary())
    return dataset


def _dataset(recipe: Recipe, components: Components, generator: Generator, progress: ReportProgress | None) -> Dataset:
    representation = components.representation if generator.decoder.needs_tokens else None
    return prepare(
        recipe.data, components.source, components.prepare, representation,
        key=preparation_key(recipe), seed=recipe.seed,
        cutoff=generator.encoder.cutoff if generator.uses_memory else None, progress=progress,
    )  # fmt: skip


def preparation_key(recipe: Recipe) -> str:
    """What decides the prepared crystals besides the data section: transforms and representation, with their options."""
    written = recipe_to_dict(recipe)
    return json.dumps({name: written[name] for name in ("transforms", "representation")}, sort_keys=True)


def facts(setup: Setup, fabric: Fabric) -> dict[str, Any]:
    """What provenance.json and checkpoints say of the run."""
    train = setup.dataset.splits["train"]
    return provenance(
        setup.recipe,
        parameters=parameter_counts(setup.generator),
        loss_unit=setup.generator.decoder.loss_unit,
        crystals={name: len(part) for name, part in setup.dataset.splits.items()},
        ranges=training_ranges(train.n_atoms, train.columns),
        rejected=dict(setup.dataset.rejected),
        processes=fabric.world_size,
        precision=setup.recipe.fabric.precision,
    )


def _counts(generator: Generator) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in parameter_counts(generator).items()) + " trainable parameters"
