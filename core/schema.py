"""The recipe's sections as typed, frozen dataclasses: the single list of keys that a recipe may hold.

The field docstrings are the reference documentation; `core/recipe.py` reads YAML into these and reports mistakes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ComponentSpec:
    """A named component with its options, e.g. `encoder: equivariant` or `encoder: {name: equivariant, lmax: 1}`."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    override: str | None = None
    """Distribution that decides where two offer the same name."""
    where: str = ""
    """file:line in the recipe, for messages of the assembly; not written back."""


@dataclass(frozen=True, kw_only=True)
class DataSection:
    """Where crystals come from and how they are prepared."""

    source: ComponentSpec = field(default_factory=lambda: ComponentSpec(name="auto"))
    """`auto`: prototypes without a path, table for .csv / .csv.gz / .parquet or a folder with train.*, else files."""
    path: str | None = None
    """File or folder of crystals; relative to the working directory."""
    cache: str = ".cache/crystalfw"
    """Folder of prepared data, shared between runs, keyed by content."""
    workers: int = 0
    """Processes for preparation; 0 takes all cores."""
    max_atoms: int = 20
    """Crystals with more atoms are set aside, with the reason."""
    max_crystals: int | None = None
    """Take only the first so many of each part; None takes all."""
    validation: float = 0.05
    """Share of crystals, by formula, for validation where the source has no split."""
    test: float = 0.05
    """Share of crystals, by formula, for test where the source has no split."""
    columns: tuple[str, ...] = ()
    """Property columns that must exist; the encoder's and decoder's are added."""


@dataclass(frozen=True, kw_only=True)
class ModelSection:
    """The parts of the generator."""

    encoder: ComponentSpec = field(default_factory=lambda: ComponentSpec(name="none"))
    conditioning: ComponentSpec = field(default_factory=lambda: ComponentSpec(name="none"))
    decoder: ComponentSpec = field(default_factory=lambda: ComponentSpec(name="gpt"))
    memory: str = "tokens"
    """`tokens`: conditioning sees the encoder's tokens; `pooled`: only the pooled vector, as one token."""
    condition_dropout: float = 0.1
    """Share of training crystals whose condition is replaced by a learned null condition (for guidance)."""
    freeze_encoder: bool = False
    """True keeps the encoder's weights as loaded."""
    encoder_checkpoint: str | None = None
    """Run folder or checkpoint whose encoder weights are loaded."""


@dataclass(frozen=True, kw_only=True)
class FitSection:
    """Training."""

    steps: int = 1000
    """Optimiser steps."""
    max_minutes: float | None = None
    """Stop cleanly after so many minutes of training; the schedule then follows time instead of steps."""
    batch_size: int = 32
    """Crystals per optimiser step, over all devices and accumulation steps."""
    accumulate: int = 1
    """Micro-batches per optimiser step and device."""
    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    min_lr: float = 0.05
    """Final learning rate as a share of the peak (cosine decay)."""
    warmup: int = 100
    """Steps of linear warm-up."""
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    """Gradient norm above which gradients are scaled down."""
    validate_every: int = 200
    """Steps between validations."""
    validation_batches: int | None = None
    """At most so many validation batches; None takes all."""
    checkpoint_every: int = 200
    """Steps between checkpoints; best and last are kept."""
    log_every: int = 10
    """Steps between rows of metrics.csv."""
    patience: int | None = None
    """Validations without improvement before an early stop; None never stops early."""
    augment: bool = False
    """True trains on random equivalents of each string (atom order, basis, origin) instead of the canonical one."""
    compile: bool = False
    """True wraps the generator in torch.compile."""


@dataclass(frozen=True, kw_only=True)
class SampleSection:
    """Generation."""

    n: int = 100
    """Crystals to generate."""
    batch_size: int = 64
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    guidance: float = 1.0
    """Classifier-free guidance scale: 1 plain conditional, 0 unconditional, > 1 pushes towards the condition."""
    max_length: int | None = None
    """Longest string in tokens; None takes the decoder's limit."""
    conditions: str = "test"
    """Where conditions come from when none are given: `test`, `val` or `train` crystals, in order."""
    constraints: Mapping[str, Any] = field(default_factory=dict)
    """Hard conditions, e.g. {composition: SrTiO3} or {composition: from_condition}."""


@dataclass(frozen=True, kw_only=True)
class EvaluateSection:
    """Metrics over the samples."""

    metrics: tuple[ComponentSpec, ...] = (
        ComponentSpec(name="shares"),
        ComponentSpec(name="match"),
        ComponentSpec(name="distributions"),
    )
    reference: str | None = None
    """File or folder of reference crystals; None takes the data's test part (and its train part for novelty)."""


@dataclass(frozen=True, kw_only=True)
class FabricSection:
    """Passed to lightning.fabric."""

    accelerator: str = "auto"
    devices: int | str = 1
    num_nodes: int = 1
    strategy: str = "auto"
    """`auto`, `ddp`, `fsdp`, ..."""
    precision: str = "32-true"
    """`32-true`, `bf16-mixed`, `16-mixed`, `64-true`."""
    threads: int | None = None
    """CPU threads per process; None leaves torch's choice."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole recipe, checked. `expanded` is the plain mapping that alone reproduces the run."""

    name: str = "run"
    """Name of the run folder."""
    seed: int = 0
    run_dir: str = "runs"
    """Folder that run folders are made in."""
    data: DataSection = field(default_factory=DataSection)
    representation: ComponentSpec = field(default_factory=lambda: ComponentSpec(name="slices"))
    transforms: tuple[ComponentSpec, ...] = (
        ComponentSpec(name="standardize"),
        ComponentSpec(name="normalize_positions"),
    )
    finalize: tuple[ComponentSpec, ...] = (ComponentSpec(name="finalize"),)
    model: ModelSection = field(default_factory=ModelSection)
    fit: FitSection = field(default_factory=FitSection)
    sample: SampleSection = field(default_factory=SampleSection)
    evaluate: EvaluateSection = field(default_factory=EvaluateSection)
    fabric: FabricSection = field(default_factory=FabricSection)
