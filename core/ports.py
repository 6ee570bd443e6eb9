"""Ports: a conditioning bound to one batch's memory, as decoders see it.

Shapes: B crystals, T string tokens, P prefix tokens, D decoder width, R picked rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from crystalfw.core.batch import Memory

if TYPE_CHECKING:
    from crystalfw.core.interfaces import Conditioning


class Ports:
    """A conditioning bound to one batch's memory, as decoders see it: identity where no strategy fills the port."""

    def __init__(self, conditioning: Conditioning | None, prepared: Any) -> None:
        self.conditioning, self.prepared = conditioning, prepared
        self._port = conditioning.port if conditioning is not None else "none"

    @property
    def has_prefix(self) -> bool:
        """True where the strategy puts tokens in front of the string."""
        return self._port == "prefix"

    @classmethod
    def bind(cls, conditioning: Conditioning | None, memory: Memory) -> Ports:
        """Prepare the memory once and bind it."""
        return cls(conditioning, None if conditioning is None else conditioning.prepare(memory))

    def select(self, index: Tensor) -> Ports:
        """The same ports for the rows `index` (R,) of the batch."""
        return Ports(self.conditioning, select_rows(self.prepared, index))

    def input(self, h_BTD: Tensor) -> Tensor:
        """The embedded tokens, conditioned where the strategy fills `input`."""
        return self.conditioning(h_BTD, self.prepared) if self.conditioning and self._port == "input" else h_BTD

    def prefix(self, h_BTD: Tensor) -> Tensor | None:
        """(B, P, D) tokens to put in front, or None."""
        return self.conditioning(h_BTD, self.prepared) if self.conditioning and self._port == "prefix" else None

    def prefix_mask(self) -> Tensor | None:
        """(B, P) bool, True where a prefix token is real; None where all are."""
        return self.conditioning.prefix_mask(self.prepared) if self.conditioning and self._port == "prefix" else None

    def layer(self, h_BTD: Tensor, layer: int) -> Tensor:
        """h plus the residual of block `layer` where the strategy fills `layer`."""
        if self.conditioning and self._port == "layer":
            return h_BTD + self.conditioning(h_BTD, self.prepared, layer)
        return h_BTD


def select_rows(tree: Any, index: Tensor) -> Any:
    """Index the leading dimension of every tensor in a Tensor / Memory / list / tuple / dict tree."""
    if isinstance(tree, Tensor):
        return tree[index]
    if isinstance(tree, Memory):
        return tree.select(index)
    if isinstance(tree, Mapping):
        return {key: select_rows(value, index) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(select_rows(value, index) for value in tree)
    assert tree is None, f"Conditioning.prepare returned {type(tree).__name__}, which rows cannot be picked from"
    return None
