"""What is passed between rooms and is no tensor: vocabularies, strings, records, samples, losses, a metric's context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from crystalfw.core.crystal import Crystal

if TYPE_CHECKING:
    from crystalfw.core.evaluate.workbench import Workbench


@dataclass(frozen=True)
class Loss:
    """A sum and its weight, not a mean: ranks and accumulation steps then add up to the same number exactly."""

    total: Tensor
    """() sum of the per-item losses, differentiable."""
    weight: Tensor
    """() number of items (tokens, targets) that the sum runs over."""
    parts: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Further (sum, weight) pairs for the log, detached; e.g. per-column absolute errors."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a representation, in a fixed order: ids never depend on the data set."""

    tokens: tuple[str, ...]
    pad: int = 0
    begin: int = 1
    end: int = 2

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Encoded:
    """Outcome of encoding one crystal: a string, or a reason from the representation's documented list."""

    string: str = ""
    reason: str = ""

    @property
    def ok(self) -> bool:
        """True where there is a string."""
        return not self.reason


class Frame(NamedTuple):
    """How a string's lattice and atoms lie in the crystal decoded from it, which may stand in another cell."""

    basis: tuple[tuple[int, ...], ...]
    """(3, 3) the string's lattice vectors in those of the crystal."""
    images: tuple[tuple[int, ...], ...]
    """(N, 3) the string's atom k is the crystal's atom k moved by these lattice vectors."""

    def cell(self, first: int, second: int, shift: Sequence[int]) -> tuple[int, int, int]:
        """The cell to which the string's bond from `first` to `second` in its cell `shift` leads, in the crystal's vectors."""
        turned = [sum(n * row[axis] for n, row in zip(shift, self.basis, strict=True)) for axis in range(3)]
        a, b, c = (t + v - u for t, u, v in zip(turned, self.images[first], self.images[second], strict=True))
        return a, b, c


@dataclass(frozen=True)
class Decoded:
    """Outcome of decoding one string: a crystal with quality figures, or a reason."""

    crystal: Crystal | None = None
    reason: str = ""
    message: str = ""
    quality: Mapping[str, float] = field(default_factory=dict)
    """E.g. residual (mean relative bond-length error), shortest_distance (angstrom)."""
    frame: Frame | None = None
    """Where the string's lattice and atoms are in the crystal, for pictures of the string; None if that is not known."""

    @property
    def ok(self) -> bool:
        """True where there is a crystal."""
        return self.crystal is not None


@dataclass(frozen=True)
class TokenMeaning:
    """What a piece of a string says, for people."""

    text: str
    """The tokens as they stand in the string."""
    says: str
    """A sentence, e.g. "bond from atom 0 (Na) to atom 1 (Cl), one cell along -c"."""
    atoms: tuple[int, ...] = ()
    """The atoms of the decoded crystal that it is about."""
    shift: tuple[int, int, int] | None = None
    """Of a bond or contact: the cell, in the string's lattice vectors, in which its second atom lies."""


@dataclass(frozen=True)
class Rejected:
    """A row that a source could not turn into a crystal: counted and listed, never dropped."""

    file: str
    row: int | None
    id: str
    reason: str


@dataclass(frozen=True)
class Record:
    """One item of a source before it is parsed: cheap to make, picklable, and it knows where it stands."""

    file: str
    row: int | None
    content: Any


@dataclass(frozen=True)
class Sample:
    """One generated crystal, or the reason why there is none: a row of samples.csv."""

    id: str
    seed: int
    string: str
    status: str
    reason: str
    crystal: Crystal | None
    condition: Mapping[str, Any] = field(default_factory=dict)
    reference_id: str = ""
    """Id of the crystal that the condition came from, when it came from one."""
    log_prob: float | None = None
    """Natural logarithm of the probability that the model gave the string, when the sampler kept it."""
    relaxed: Crystal | None = None
    """The crystal after relaxation, where the table has a column `relaxed_cif`."""
    cpu_s: float | None = None
    """CPU seconds that the crystal took, where the table has a column `cpu_s`."""


@dataclass(frozen=True)
class Wanted:
    """A sample that a baseline is asked for."""

    id: str
    numbers: tuple[int, ...] = ()
    """Atomic numbers of the cell that is asked for, sorted; empty where no composition is asked for."""
    reference_id: str = ""
    """The reference crystal that the question comes from; a baseline must not look at it."""
    rank: int = 0
    """How many samples of the same question come before: the best answer has rank 0."""

    def made(self, crystal: Crystal, string: str = "") -> Sample:
        """The sample where there is a crystal."""
        return Sample(self.id, 0, string, "ok", "", replace(crystal, id=self.id, properties={}), {}, self.reference_id)

    def failed(self, reason: str, status: str = "unknown", string: str = "") -> Sample:
        """The sample where there is none."""
        return Sample(self.id, 0, string, status, reason, None, {}, self.reference_id)


@dataclass(frozen=True)
class Question:
    """A composition whose crystals are asked for."""

    elements: tuple[int, ...]
    """Atomic numbers, in the order of their counts and then of the numbers."""
    counts: tuple[int, ...]
    """Atoms of each element in the reduced formula."""
    units: tuple[int, ...] = ()
    """Formula units that the primitive cell may hold; any number where empty."""
    exclude_own: bool = False
    """True leaves known crystals of this very formula out: an honest test, and how a retriever is fitted."""


@dataclass(frozen=True)
class Proposal:
    """A crystal proposed for a question, and why."""

    crystal: Crystal
    probability: float
    """That the composition takes this structure, among all structures that the proposer knows."""
    template: str
    """Id of the known crystal that it was made from; empty where it was made from none."""
    source: str
    """Source of that crystal, or the name of the model that made it."""
    group: int
    """Space-group number."""
    units: int
    """Formula units in the primitive cell."""
    evidence: Mapping[str, float] = field(default_factory=dict)
    """What speaks for and against it, by name, for a ranker to weigh; finite numbers."""
    why: str = ""
    """Why it stands where it stands, in a line; the ranker's words."""
    shape: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """(elements, elements, neighbours) distances, where the pool has measured them (core/library/distances.py)."""

    @property
    def origin(self) -> str:
        """Where it comes from, in a few words."""
        return f"template {self.template} ({self.source})" if self.template else f"model {self.source}"


@dataclass(frozen=True)
class Verdict:
    """A ranker's opinion of one proposal."""

    probability: float
    """That the composition takes this structure."""
    why: str
    """In a line."""


@dataclass(frozen=True)
class Judged:
    """A question with its proposals and the truth: what a ranker learns from."""

    question: Question
    proposals: Sequence[Proposal]
    right: Sequence[bool]
    """Which of them are the crystal that the question was made from."""


@dataclass(frozen=True, kw_only=True)
class MetricContext:
    """What an evaluation gives to every metric besides samples and reference.

    `context["train"]` and `context.get("train")` read the same as `context.train`: metrics written for the mapping that
    this class replaces keep working.
    """

    bench: Workbench
    """Parallel, resumable `map` with progress; `once` keeps what several metrics need (core/evaluate/workbench.py)."""
    train: Sequence[Crystal] = ()
    """The training crystals that novelty is judged against; empty where none are known."""
    key: Callable[[Crystal], str] | None = None
    """The representation's canonical key of a crystal, '' where it cannot be written; None without a representation.
    Picklable, so that it can go to worker processes."""
    run_dir: Path | None = None
    """The folder that the samples lie in; None for samples given in Python."""

    def __getitem__(self, name: str) -> Any:
        """`context["bench"]`: the field of that name; raises KeyError for another name."""
        if name not in self.__dataclass_fields__:
            raise KeyError(f"a metric's context has no '{name}'; it has {', '.join(self.__dataclass_fields__)}")
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """The field of that name, or `default`."""
        return getattr(self, name) if name in self.__dataclass_fields__ else default
