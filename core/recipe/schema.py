"""The recipe's sections as typed, frozen dataclasses: the single list of keys that a recipe may hold.

The docstring under each field is its documentation. `core/recipe/convert.py` reads YAML into these classes and reports
mistakes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from crystalfw.core.errors import ConditionError, did_you_mean


@dataclass(frozen=True)
class Kind:
    """Marks a ComponentSpec field with its kind in the registry: `Annotated[ComponentSpec, Kind("encoder")]`."""

    name: str


@dataclass(frozen=True)
class Bounds:
    """Closed interval of a number: `Annotated[int, Bounds(1)]`; None: no limit on that side."""

    low: float | None = None
    high: float | None = None

    def __contains__(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return f"from {self.low:g} to {self.high:g}"
        return f"of at least {self.low:g}" if self.low is not None else f"of at most {self.high:g}"


AUTO_PRECISION = "auto"
PRECISIONS = (
    AUTO_PRECISION, "32-true", "bf16-mixed", "16-mixed", "64-true", "bf16-true", "16-true",
    "transformer-engine", "transformer-engine-float16", "32", "bf16", "16", "64",
)  # fmt: skip
"""What `fabric.precision` may be; the last four are Fabric's older names."""

Count = Annotated[int, Bounds(1)]
NotNegative = Annotated[float, Bounds(0)]
Share = Annotated[float, Bounds(0, 1)]


@dataclass(frozen=True)
class Named:
    """Marks a list of components that a recipe may also write as a mapping of names: `gap: {metric: conditional, ...}`."""

    kind: str
    """Kind of the components, and the key of an entry that names its component; without it the entry's name does."""


@dataclass(frozen=True, kw_only=True)
class ComponentSpec:
    """A named component with its options, e.g. `encoder: equivariant` or `encoder: {name: equivariant, lmax: 1}`."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    override: str | None = None
    """Distribution to take it from if two offer the same name."""
    where: str = field(default="", compare=False)
    """file:line in the recipe, for error messages; not written to recipe.yaml."""
    config: Any = field(default=None, compare=False, repr=False)
    """The component's checked Config; None until a recipe has been read."""
    label: str = ""
    """Its name in a mapping of components (`Named`), if it differs from the component's own name."""


EncoderSpec = Annotated[ComponentSpec, Kind("encoder")]
ConditioningSpec = Annotated[ComponentSpec, Kind("conditioning")]
DecoderSpec = Annotated[ComponentSpec, Kind("decoder")]
TransformSpec = Annotated[ComponentSpec, Kind("transform")]
RepresentationSpec = Annotated[ComponentSpec, Kind("representation")]
SourceSpec = Annotated[ComponentSpec, Kind("source")]
MetricSpec = Annotated[ComponentSpec, Kind("metric")]
RetrieverSpec = Annotated[ComponentSpec, Kind("retriever")]


@dataclass(frozen=True, kw_only=True)
class DataSection:
    """Where crystals come from and how they are prepared."""

    source: SourceSpec = field(default_factory=lambda: ComponentSpec(name="auto"))
    """`auto`: prototypes without a path, table for .csv / .csv.gz / .parquet or a folder with train.*, otherwise files."""
    path: str | None = None
    """File or folder of crystals; relative to the working directory."""
    cache: str | None = None
    """Folder of prepared data, shared between runs, keyed by content; default: $XDG_CACHE_HOME/crystalfw or
    ~/.cache/crystalfw, which can be deleted at any time."""
    workers: Annotated[int, Bounds(0)] = 0
    """Processes that prepare the data; 0: one per core."""
    executor: str = "processes"
    """What prepares the data: `processes` on this machine, `dask` (optionally with a scheduler's address or file, e.g.
    `dask:tcp://node1:8786`), or the executor of a plugin."""
    max_atoms: Count = 20
    """Crystals with more atoms are rejected; rejected.csv lists them."""
    max_crystals: Count | None = None
    """Read at most so many crystals of each part; default: all."""
    validation: Share = 0.05
    """Share of crystals, split by formula, for validation if the source has no split of its own."""
    test: Share = 0.05
    """Share of crystals, split by formula, for the test part if the source has no split of its own."""
    columns: tuple[str, ...] = ()
    """Property columns that must exist; the encoder's and decoder's are added."""


@dataclass(frozen=True, kw_only=True)
class ModelSection:
    """The parts of the generator."""

    encoder: EncoderSpec = field(default_factory=lambda: ComponentSpec(name="none"))
    """Turns the condition crystal into a memory."""
    conditioning: ConditioningSpec = field(default_factory=lambda: ComponentSpec(name="none"))
    """How the memory enters the decoder."""
    decoder: DecoderSpec = field(default_factory=lambda: ComponentSpec(name="gpt"))
    """Writes the string, or predicts columns."""
    memory: Literal["tokens", "pooled"] = "tokens"
    """`tokens`: conditioning sees the encoder's tokens; `pooled`: only the pooled vector, as one token."""
    condition_dropout: Share = 0.1
    """Share of training crystals whose condition is replaced by a learned null condition (for guidance)."""
    freeze_encoder: bool = False
    """`true`: the encoder's weights stay as they were loaded."""
    checkpoint: str | None = None
    """Run folder or checkpoint whose weights training starts from (fine-tuning, transfer)."""
    encoder_checkpoint: str | None = None
    """Run folder or checkpoint that the encoder's weights are loaded from."""
    conditioning_checkpoint: str | None = None
    """Run folder or checkpoint that the conditioning's weights are loaded from."""
    decoder_checkpoint: str | None = None
    """Run folder or checkpoint that the decoder's weights are loaded from."""
    load: Literal["exact", "fitting"] = "exact"
    """`exact`: every weight of a checkpoint must fit; `fitting`: load those that fit and list which are new."""


@dataclass(frozen=True, kw_only=True)
class RetrievalSection:
    """Known crystals for the encoder `templates`; read only where the encoder asks for them."""

    retriever: RetrieverSpec = field(default_factory=lambda: ComponentSpec(name="structure_types"))
    """Proposes known crystals for a composition; it is fitted on the library before training."""
    library: str | None = None
    """Folder that `crystalfw library build` made; default: a library of the data's train part."""
    tune: Annotated[int, Bounds(0)] = 100
    """Validation crystals that say, after training, how far the generator is trusted beside the retriever; 0: not at all."""


@dataclass(frozen=True, kw_only=True)
class FitSection:
    """Training."""

    steps: Count = 1000
    """Optimiser steps."""
    max_minutes: NotNegative | None = None
    """Training ends after so many minutes; the learning rate then follows time instead of steps."""
    batch_size: Count = 32
    """Crystals per optimiser step, over all devices and accumulation steps."""
    accumulate: Count = 1
    """Micro-batches per optimiser step and device."""
    lr: NotNegative = 1e-3
    """Peak learning rate of AdamW."""
    min_lr: Share = 0.05
    """Final learning rate as a share of the peak (cosine decay)."""
    warmup: Annotated[int, Bounds(0)] = 100
    """Steps of linear warm-up."""
    weight_decay: NotNegative = 0.1
    """Weight decay of AdamW on matrices."""
    betas: tuple[Share, Share] = (0.9, 0.95)
    """Decay rates of AdamW's first and second moments."""
    clip: NotNegative = 1.0
    """Gradient norm above which gradients are scaled down."""
    validate_every: Count = 200
    """Steps between validations."""
    validation_batches: Count | None = None
    """At most so many validation batches; default: all."""
    checkpoint_every: Count = 200
    """Steps between checkpoints; the best, the last and the one before it are kept."""
    log_every: Count = 10
    """Steps between rows of metrics.csv."""
    patience: Count | None = None
    """Early stop after so many validations without improvement; default: no early stop."""
    augment: bool = False
    """`true`: train on random equivalents of each string (atom order, basis, origin) instead of the canonical one."""
    compile: bool = False
    """`true`: wrap the generator in torch.compile."""


@dataclass(frozen=True, kw_only=True)
class SampleSection:
    """Generation."""

    n: Count = 100
    """Crystals to generate."""
    candidates: Count | None = None
    """Prediction: strings drawn for each condition; the most likely distinct ones are kept."""
    beam: Count | None = None
    """Prediction: width of a beam search for the most likely strings of each condition, instead of drawing them."""
    keep: Count | None = None
    """Prediction: crystals kept for each condition, most likely first; default: all."""
    batch_size: Count = 64
    """Strings generated at the same time."""
    temperature: NotNegative = 1.0
    """Divides the logits: below 1 safer, above 1 more varied, 0 always the most likely token."""
    top_k: Count | None = None
    """Draw from the k most likely tokens only."""
    top_p: Share | None = None
    """Draw from the most likely tokens that together have this probability."""
    min_p: Share | None = None
    """Draw from tokens with at least this share of the most likely token's probability."""
    guidance: float = 1.0
    """Classifier-free guidance scale: 1 plain conditional, 0 unconditional, > 1 pushes towards the condition."""
    max_length: Count | None = None
    """Longest string in tokens; default: the decoder's limit."""
    conditions: Literal["test", "val", "train"] = "test"
    """Crystals that serve as conditions if none are given: those of `test`, `val` or `train`, in order."""
    drawn: tuple[str, ...] = ()
    """Conditions drawn for each crystal from the training data's values where they are not asked for, e.g. [space_group]."""
    judge: str | None = None
    """Prediction: a property predictor (run folder or delivered model) by whose word the candidates nearest to what is asked
    go first; `none` for no judge."""
    constraints: Mapping[str, Any] = field(default_factory=dict)
    """Hard conditions, e.g. {composition: SrTiO3} or {composition: from_condition}."""

    def __post_init__(self) -> None:
        """Raise ConditionError for settings of a prediction that contradict each other."""
        if self.candidates and self.beam:
            raise ConditionError("beam: give candidates (draws) or beam (a search), not both")
        if self.keep and self.keep > self.n_candidates:
            found = f"there are {self.n_candidates}" if self.is_prediction else "say how many by candidates or beam"
            raise ConditionError(f"keep: {self.keep} crystals are to be kept out of each condition's candidates; {found}")
        if (self.candidates or 1) > 1 and self.temperature == 0:
            raise ConditionError("candidates: at temperature 0 all are the same string; give beam instead, or a temperature")
        if self.beam and self.guidance != 1:
            raise ConditionError("beam: the search follows the model's own probabilities; it takes no guidance")
        if self.judge not in (None, "none") and not self.is_prediction:
            raise ConditionError(
                f"judge: {self.judge} chooses among the candidates of a condition; say how many: candidates: 16"
            )

    @property
    def is_prediction(self) -> bool:
        """True if each condition gets several candidates."""
        return bool(self.candidates or self.beam)

    @property
    def n_candidates(self) -> int:
        """Strings found for each condition; 0 without candidates or beam."""
        return self.candidates or self.beam or 0

    @property
    def rows_per_condition(self) -> int:
        """Rows of the table for each condition before the next one's begin."""
        return (self.keep or self.n_candidates) if self.is_prediction else 1


@dataclass(frozen=True, kw_only=True)
class EvaluateSection:
    """Metrics over the samples."""

    metrics: Annotated[tuple[MetricSpec, ...], Named("metric")] = (
        ComponentSpec(name="shares"),
        ComponentSpec(name="match"),
        ComponentSpec(name="distributions"),
    )
    """Metrics to compute, in order: a list, or a mapping from the names of results to metrics with their options, e.g.
    `{shares: , gap: {metric: conditional, predictor: runs/band_gap}}`."""
    reference: str | None = None
    """File or folder of reference crystals; default: the data's test part (and its train part for novelty)."""
    predictor: str | None = None
    """Judges whether samples have the properties asked for (metric `conditional`): the run folder of a property predictor or
    a delivered model. `train`: the recipe `regress` is trained on the run's data first, into RUN/predictor."""


@dataclass(frozen=True, kw_only=True)
class FabricSection:
    """Passed to lightning.fabric."""

    accelerator: str = "auto"
    """`auto`, `cpu`, `gpu`, ..."""
    devices: int | str = 1
    """Processes per node, each with one device; `auto` takes all."""
    num_nodes: Count = 1
    """Machines; SLURM or torchrun starts the processes."""
    strategy: str = "auto"
    """`auto`, `ddp`, `fsdp`, ..."""
    precision: str = AUTO_PRECISION
    """`auto`: bf16-mixed if a product is measured to be clearly faster in bfloat16 than in float32 on this device,
    otherwise 32-true; the choice is kept in the run's recipe. Or one of `32-true`, `bf16-mixed`, `16-mixed`, `64-true`."""
    threads: Count | None = None
    """CPU threads per process; default: torch's choice."""

    def __post_init__(self) -> None:
        """Raise ValueError for a precision that Fabric does not know."""
        if self.precision not in PRECISIONS:
            hint = did_you_mean(self.precision, PRECISIONS, "There are")
            raise ValueError(f"precision: no precision called '{self.precision}'. {hint}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole recipe, checked. `expanded` is the plain mapping that is enough to reproduce the run."""

    name: str = "run"
    """Name of the run folder; default: the name of the recipe's file."""
    seed: Annotated[int, Bounds(0)] = 0
    """The seed of every random stream."""
    run_dir: str = "runs"
    """Folder in which run folders are created."""
    data: DataSection = field(default_factory=DataSection)
    """Where crystals come from and how they are prepared."""
    representation: RepresentationSpec = field(default_factory=lambda: ComponentSpec(name="slices"))
    """Turns crystals into strings and back."""
    transforms: tuple[TransformSpec, ...] = (
        ComponentSpec(name="standardize"),
        ComponentSpec(name="normalize_positions"),
    )
    """Transforms of crystals before encoding, in order; those of stage `train` run in every epoch."""
    finalize: tuple[TransformSpec, ...] = (ComponentSpec(name="finalize"),)
    """Transforms of generated crystals, in order."""
    model: ModelSection = field(default_factory=ModelSection)
    """The parts of the generator."""
    retrieval: RetrievalSection = field(default_factory=RetrievalSection)
    """Known crystals that the encoder may ask for."""
    fit: FitSection = field(default_factory=FitSection)
    """Training."""
    sample: SampleSection = field(default_factory=SampleSection)
    """Generation after training."""
    evaluate: EvaluateSection = field(default_factory=EvaluateSection)
    """Metrics over the samples."""
    fabric: FabricSection = field(default_factory=FabricSection)
    """Devices, processes, precision: passed to lightning.fabric."""
