"""Who proposes crystals for a composition, and who ranks them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from crystalfw.core.contracts.component import Component
from crystalfw.core.records import Judged, Proposal, Question, Verdict


class Proposer(Protocol):
    """Anything that answers a question: a retriever, a generator, both of which a `Predictor` asks."""

    def propose(self, question: Question, n: int) -> list[Proposal]:
        """At most n crystals, the likeliest first."""
        ...


class Retriever(nn.Module, Component, ABC):
    """Composition -> known crystals with the elements exchanged, ranked. Constructor: `__init__(self, config)`.

    Weights are its state_dict; the library they were fitted on is given back with `attach` after loading.
    """

    @abstractmethod
    def fit(self, library: Any, *, seed: int = 0, say: Callable[[str], None] = print) -> None:
        """Learn from a `crystalfw.core.library.Library` and attach it. A question's own formula is never its answer."""

    @abstractmethod
    def attach(self, library: Any) -> None:
        """Propose from this library from now on."""

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Weights of a state_dict, as `fit` left them; buffers may have another size than a fresh instance's."""
        self.load_state_dict(dict(weights))

    @abstractmethod
    def propose(self, question: Question, n: int) -> list[Proposal]:
        """At most n crystals, the likeliest first; the same question gives the same answer."""


class Ranker(nn.Module, Component, ABC):
    """Puts the proposals for a question in order. Constructor: `__init__(self, config)`. Weights are its state_dict."""

    def fit(self, judged: Sequence[Judged], *, seed: int = 0, say: Callable[[str], None] = print) -> None:
        """Learn from questions whose answers are known; a ranker that has nothing to learn ignores them."""

    def calibrate(self, judged: Sequence[Judged]) -> None:
        """Bring the probabilities in line with questions that nothing was fitted to; a ranker may have nothing to set."""

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Weights of a state_dict, as `fit` left them."""
        self.load_state_dict(dict(weights))

    @abstractmethod
    def rank(self, question: Question, proposals: Sequence[Proposal]) -> list[Verdict]:
        """A verdict on each proposal, in the order given; which order that is does not matter to the verdicts."""
