"""Who proposes crystals for a composition."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from crystalfw.core.contracts.component import Component
from crystalfw.core.records import Proposal, Question


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
