"""The contracts: the one file that a plugin author reads.

A component is a class with a frozen, keyword-only dataclass `Config`; its constructor takes the config first and the
dimensions that the assembly tells it as keywords. A complete encoder:

    class Mass(Encoder):
        "One token: the total atomic number, projected."
        requires = frozenset({"composition"})

        @dataclass(frozen=True, kw_only=True)
        class Config:
            dim: int = 64
            "Width of the token."

        def __init__(self, config: Config) -> None:
            super().__init__()
            self.dim = config.dim
            self.project = nn.Linear(1, config.dim)

        def forward(self, batch: CrystalBatch) -> Memory:
            total_B = batch.lattice.new_zeros(batch.size).index_add(0, batch.crystal_index, batch.numbers.float())
            tokens_B1C = self.project(total_B[:, None, None])
            mask_B1 = torch.ones(batch.size, 1, dtype=torch.bool)
            return Memory(tokens_B1C, mask_B1, tokens_B1C[:, 0])

Kinds that no recipe's model needs lie in files of their own and are imported from here all the same: who proposes
crystals (contracts/proposing.py), who judges them by their energy (contracts/judging.py), what could be had without
training (contracts/baselines.py).

What core hands to a component is imported from here too: batches, `Memory` and `Ports` (batch.py), through which a decoder
reaches the conditioning of one batch; records and `MetricContext` (records.py), what an evaluation gives to every metric.

Shapes: B crystals, N atoms, E edges, M memory tokens, T string tokens, V vocabulary, C encoder width, D decoder width.
Units: angstrom, degrees, eV.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from crystalfw.core.batch import CrystalBatch, Memory, TrainBatch
from crystalfw.core.batch import Ports as Ports
from crystalfw.core.batch import masked_mean as masked_mean
from crystalfw.core.batch import select_rows as select_rows
from crystalfw.core.contracts.baselines import Baseline as Baseline
from crystalfw.core.contracts.component import Component as Component
from crystalfw.core.contracts.component import NoOptions as NoOptions
from crystalfw.core.contracts.component import Weights as Weights
from crystalfw.core.contracts.judging import Potential as Potential
from crystalfw.core.contracts.judging import SinglePoint as SinglePoint
from crystalfw.core.contracts.proposing import Proposer as Proposer
from crystalfw.core.contracts.proposing import Ranker as Ranker
from crystalfw.core.contracts.proposing import Retriever as Retriever
from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import PluginError
from crystalfw.core.presentation import Figure as Figure
from crystalfw.core.presentation import Section as Section
from crystalfw.core.presentation import numbers
from crystalfw.core.records import Decoded as Decoded
from crystalfw.core.records import Encoded as Encoded
from crystalfw.core.records import Judged as Judged
from crystalfw.core.records import Loss as Loss
from crystalfw.core.records import MetricContext as MetricContext
from crystalfw.core.records import Proposal as Proposal
from crystalfw.core.records import Question as Question
from crystalfw.core.records import Record as Record
from crystalfw.core.records import Rejected as Rejected
from crystalfw.core.records import Sample as Sample
from crystalfw.core.records import TokenMeaning as TokenMeaning
from crystalfw.core.records import Verdict as Verdict
from crystalfw.core.records import Vocabulary as Vocabulary
from crystalfw.core.records import Wanted as Wanted
from crystalfw.core.stepping import DecodingCache as DecodingCache
from crystalfw.core.stepping import GrammarState as GrammarState


class Encoder(nn.Module, Component, ABC):
    """Crystals -> Memory. Constructor: `__init__(self, config)`."""

    dim: int
    """C, the width of tokens and pooled vector; set by the constructor."""
    requires: frozenset[str] = frozenset()
    """What the batch must hold: `geometry`, `composition`, `properties.NAME`, `arrays.NAME`. An instance may narrow it.
    It is also what may be asked for when sampling: a condition outside of it is an error."""
    optional: frozenset[str] = frozenset()
    """The part of `requires` that a condition may leave out, because the encoder was trained with it missing."""
    atom_tokens: bool = False
    """True where the memory's tokens are the crystal's atoms, in their order."""
    cutoff: float | None = None
    """Radius in angstrom of the neighbour pairs it needs; the data loader then prepares `batch.edges`."""
    templates: int = 0
    """Strings of known crystals that it needs for each crystal; `batch.templates` then holds at most so many. In training
    they never come from the crystal's own formula."""

    @abstractmethod
    def forward(self, batch: CrystalBatch) -> Memory:
        """Memory with tokens (B, M, C), mask (B, M), pooled (B, C); finite also for one-atom cells."""

    def fit_statistics(self, columns: Mapping[str, NDArray[np.float64]]) -> None:
        """Called once before training with the train part's property columns (NaN where missing); keep buffers."""


class Conditioning(nn.Module, Component, ABC):
    """How a Memory enters a decoder. Constructor: `__init__(self, config, *, encoder_dim, decoder_dim, n_layers)`.

    The decoder offers ports; a strategy fills one:

    - `input`: `forward(h, memory)` returns the embedded tokens (B, T, D) with the condition added;
    - `prefix`: `forward(h, memory)` returns (B, P, D), tokens to put in front of the string;
    - `layer`: `forward(h, memory, layer)` returns the residual (B, T, D) added between self-attention and MLP of
      block `layer`; the strategy owns one sub-module per block;
    - `none`: nothing is called.
    """

    port: ClassVar[str]
    zero_init: ClassVar[bool] = False
    """True where a fresh instance changes nothing: conformance then checks it."""

    @abstractmethod
    def forward(self, h: Tensor, memory: Any, layer: int = 0) -> Tensor:
        """Fill the port; `memory` is what `prepare` returned."""

    def prepare(self, memory: Memory) -> Any:
        """Once per batch: what depends on the memory alone (projected keys and values, say).

        Must be a Tensor, a Memory, or a list / tuple / dict of them, each with leading dimension B, so that sampling
        can pick rows. The default passes the memory on.
        """
        return memory

    def prefix_mask(self, memory: Any) -> Tensor | None:
        """(B, P) bool, True where a prefix token is real; None where all are. Only asked of a `prefix` strategy."""
        return None


class Decoder(nn.Module, Component, ABC):
    """Memory -> prediction. Constructor: `__init__(self, config, *, encoder_dim, vocabulary)`."""

    dim: int
    """D, the width that conditioning must produce."""
    n_layers: int = 0
    """Blocks that a `layer` strategy must serve."""
    ports: ClassVar[frozenset[str]] = frozenset({"none"})
    needs_tokens: ClassVar[bool] = True
    """False where the decoder predicts properties instead of strings."""
    reads_atoms: ClassVar[bool] = False
    """True where it needs an encoder with `atom_tokens`."""
    loss_unit: str = ""
    """What the loss is measured in, for the axis of its curve."""
    blocks: Iterable[nn.Module]
    """Submodules, each called through its forward(), that FSDP shards one by one; () unless the constructor assigns it."""

    def __init__(self) -> None:
        super().__init__()
        # In the instance: a default in the class would hide an nn.ModuleList of this name.
        self.blocks = ()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if cls.__module__ != __name__ and "predict" in vars(cls) and not issubclass(cls, PropertyDecoder):
            raise PluginError(
                f"decoder class {cls.__name__} has a method `predict`, which only a PropertyDecoder has: subclass "
                "crystalfw.core.PropertyDecoder and set `targets`, or rename the method"
            )

    def hide(self, batch: TrainBatch) -> TrainBatch:
        """What the encoder and the loss are given instead of the batch: itself, unless the task is to restore something
        (keep that in `hidden`)."""
        return batch

    @abstractmethod
    def loss(self, batch: TrainBatch, memory: Memory, ports: Ports) -> Loss:
        """The training loss of one batch."""

    def training_flops(self, lengths_B: Tensor) -> float:
        """Operations of forward and backward for strings of these lengths (begin and end included), padding not counted;
        for the utilisation in the log. 0 where it is not known."""
        return 0.0

    def fit_statistics(self, columns: Mapping[str, NDArray[np.float64]]) -> None:
        """Called once before training with the train part's property columns (NaN where missing); keep buffers."""


class PropertyDecoder(Decoder):
    """A decoder that predicts property columns instead of strings."""

    needs_tokens = False
    targets: tuple[str, ...]
    """Names of the property columns that it predicts; the data must hold them. Set by the constructor."""

    @abstractmethod
    def predict(self, memory: Memory) -> dict[str, Tensor]:
        """Each target (B,) in its column's unit, in the order of `targets`."""

    def spread(self, memory: Memory) -> dict[str, Tensor]:
        """How large each target's error (B,) is likely to be, positive, in its column's unit; {} where the decoder does not
        say. The validation part then tells by which factor it holds a stated share of errors."""
        return {}


class SequenceDecoder(Decoder):
    """A causal decoder of token strings: logits for the next token at every position."""

    loss_unit = "nats per token"
    max_length: int
    """Longest string, begin and end included, that it can write."""

    @abstractmethod
    def forward(self, ids: Tensor, ports: Ports, cache: Any = None) -> Tensor:
        """Logits (B, T, V) after ids (B, T). With a cache (of `new_cache`), ids are the new tokens only and it is advanced."""

    @abstractmethod
    def new_cache(self, batch_size: int, length: int, ports: Ports) -> DecodingCache:
        """An empty cache for `batch_size` rows of at most `length` tokens."""

    def loss(self, batch: TrainBatch, memory: Memory, ports: Ports) -> Loss:
        """Cross entropy in nats, summed over the tokens after the first; padding has no weight."""
        assert batch.tokens is not None
        ids_BT, mask_BT = batch.tokens.ids, batch.tokens.mask
        logits_BTV = self(ids_BT[:, :-1], ports)
        target_BT, weight_BT = ids_BT[:, 1:], mask_BT[:, 1:]
        losses = nn.functional.cross_entropy(logits_BTV.flatten(0, 1).float(), target_BT.flatten(), reduction="none")
        return Loss((losses * weight_BT.flatten()).sum(), weight_BT.sum())


class Transform(Component, ABC):
    """Crystal -> Crystal. Constructor: `__init__(self, config)`."""

    stage: ClassVar[str] = "prepare"
    """`prepare`: once, cached; `train`: in every epoch (augmentation); `finalize`: on generated crystals."""
    keeps_edges: ClassVar[bool] = False
    """True where the neighbour pairs of the input are those of the result, so that stored pairs can be used."""
    commutes_with_rotation: ClassVar[bool] = False
    """True where rotating before or after gives the same; conformance then checks it."""

    @abstractmethod
    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:
        """The transformed crystal; a new object. Raises Reject(reason) for one that must be rejected."""


class Representation(Component, ABC):
    """Crystal <-> string <-> token ids. Constructor: `__init__(self, config)`."""

    vocabulary: Vocabulary
    reasons: ClassVar[Mapping[str, str]] = {}
    """A sentence for each reason that `encode` and `decode` give, for tables and reports."""

    @abstractmethod
    def encode(self, crystals: Sequence[Crystal]) -> list[Encoded]:
        """One outcome per crystal, in order; never raises for a crystal."""

    @abstractmethod
    def decode(self, strings: Sequence[str]) -> list[Decoded]:
        """One outcome per string, in order; never raises for a string, bounded in time and memory."""

    @abstractmethod
    def tokenize(self, string: str) -> list[int]:
        """Token ids without begin and end; raises DecodeError('parse', ...) for an unknown token."""

    @abstractmethod
    def detokenize(self, ids: Sequence[int]) -> str:
        """The string of ids; begin, end and padding are dropped."""

    @abstractmethod
    def grammar(self, rows: int, max_length: int, constraints: Sequence[Mapping[str, Any]] | None = None) -> GrammarState:
        """A fresh mask machine for `rows` strings of at most `max_length` tokens (begin and end included).

        `constraints[r]`: hard conditions of row r, e.g. {"composition": {"Sr": 1, "Ti": 1, "O": 3}}; raises
        ConditionError for an unknown or impossible one, before the first token.
        """

    def canonical_key(self, string: str) -> str:
        """Equal for strings that say the same crystal, as far as strings can tell; never raises. Prediction keeps one
        string for each key. The default is the string itself."""
        return string

    def explain(self, string: str) -> list[TokenMeaning]:
        """What each piece of the string says, in order; the pieces' texts, joined, are the tokens of the string. Raises
        DecodeError as `tokenize` does. The default names no meaning."""
        return [TokenMeaning(token, "") for token in string.split()]

    def augment(self, string: str, rng: np.random.Generator) -> str:
        """A random equivalent of the string; the default returns it unchanged."""
        return string

    def key(self, crystal: Crystal) -> str:
        """Text that does not depend on order of atoms, orientation or choice of cell: crystals that share it count as equal
        without a comparison. Never raises; empty text, as for a crystal without a string, decides nothing."""
        return ""

    @classmethod
    def fit(
        cls, train: Iterable[Crystal], validation: Iterable[Crystal], folder: Path, *, steps: int, seed: int,
        data: Sequence[Mapping[str, Any]], say: Callable[[str], None],
    ) -> dict[str, Any]:  # fmt: skip
        """Learn the parts that `decode` needs and write them to `folder` (`crystalfw codec fit`); `data` names each data set
        with its licence. Returns the record, with `validation`: dialect -> {"strict": share, "loose": share}."""
        raise PluginError(f"representation class {cls.__name__} has no parts that are fitted to crystals")


class Source(Component, ABC):
    """Where crystals come from. Constructor: `__init__(self, config, *, path)` with path a str or None.

    A source must be picklable. One whose parsing is costly also gives `records` and `parse`, with
    `read(part) == map(parse, records(part))`: parsing then happens in worker processes.
    """

    @abstractmethod
    def parts(self) -> tuple[str, ...]:
        """The parts it has, out of train, val, test; ("train",) where it has no split (the core then splits)."""

    @abstractmethod
    def read(self, part: str) -> Iterator[Crystal | Rejected]:
        """Stream one part, in a fixed order, memory constant. Raises DataError for an unusable file."""

    def records(self, part: str) -> Iterator[Record]:
        """The unparsed items of a part, streamed; the default has them parsed already."""
        for row, item in enumerate(self.read(part), start=1):
            yield Record(type(self).__name__.lower(), row, item)

    def remarks(self) -> tuple[str, ...]:
        """Sentences about what it left out as a whole, such as a column of text that looks like numbers."""
        return ()

    def size(self, part: str) -> int | None:
        """How many items `records` will give, where that is cheap to know beside parsing them: for the time left."""
        return None

    def parse(self, record: Record) -> Crystal | Rejected:
        """What one record holds; never raises for its content."""
        item: Crystal | Rejected = record.content
        return item

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes whenever what `read` yields would change: keys the cache."""


class Metric(Component, ABC):
    """Samples -> named numbers, and how to show them. Constructor: `__init__(self, config)`.

    The methods that show a result read it as it comes back from metrics.json, without an instance of the metric.
    """

    version: ClassVar[str] = "1"
    """Raised whenever a number would change for the same samples."""
    not_measured: ClassVar[frozenset[str]] = frozenset()
    """Parts of the result, by dotted path, that are no measures: histograms, counts of reasons."""

    @abstractmethod
    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Named results, each a JSON value; the protocol (tolerances, counts) among them.

        Four names have a meaning: `summary`, lines for the screen; `outcomes`, measure -> sample or reference id -> value
        (a mapping, or anything with `items()`), written to outcomes.csv for paired comparisons; `examples`, ids of samples
        that the report's gallery shows first; `verdicts`, sample id -> Verdict of core/presentation.py, what the report says
        of a sample beside what was asked for.
        """

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """The few figures to show first; the default has none."""
        return ()

    @classmethod
    def sections(cls, result: Mapping[str, Any]) -> Sequence[Section]:
        """Sections of the run's report with charts and tables; the default has none."""
        return ()

    @classmethod
    def measures(cls, result: Mapping[str, Any]) -> Mapping[str, float]:
        """Every number that runs can be compared by; the default takes all but `not_measured`, by dotted path."""
        return numbers(result, cls.not_measured)
