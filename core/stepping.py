"""State of decoding token by token: a decoder's cache and a grammar's mask. Plugin authors import both from interfaces.

Shapes: B and R rows, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class DecodingCache(ABC):
    """What a SequenceDecoder keeps of the tokens written so far; rows leave and enter independently."""

    positions: Tensor
    """(B,) int64 on the CPU: how many string tokens each row has seen; the decoder's forward() advances it."""

    @abstractmethod
    def select(self, index: Tensor) -> None:
        """Keep the rows `index` (R,), in this order; a row may be asked for twice."""

    @abstractmethod
    def reset(self, rows: Tensor) -> None:
        """Empty these rows: their next token is the first of a new string."""


class GrammarState(ABC):
    """Which tokens keep each of R strings completable: advanced token by token, rows independent."""

    @abstractmethod
    def mask(self) -> NDArray[np.bool_]:
        """(R, V), True where the token may come next; at least one per unfinished row, only `pad` after the end."""

    @abstractmethod
    def advance(self, ids: NDArray[np.int64]) -> None:
        """Append token ids (R,), each allowed by the mask."""

    @abstractmethod
    def select(self, rows: NDArray[np.int64]) -> None:
        """Keep these rows, in this order."""

    @abstractmethod
    def append_rows(self, count: int, constraints: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Add `count` fresh rows at the end."""
