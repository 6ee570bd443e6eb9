"""Prefix conditioning: the projected memory tokens are placed in front of the string; self-attention reads them.

Shapes: B crystals, M memory tokens, T string tokens, D decoder width, C encoder width.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from crystalfw.core.batch import Memory
from crystalfw.core.interfaces import Conditioning


class Prefix(Conditioning):
    """Memory tokens as a set in front of the string: they attend to each other and the string attends to them, never
    the reverse."""

    port = "prefix"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the prefix conditioning."""

        norm: bool = True
        """True normalises each memory token before its projection, so that the encoder's scale does not matter."""

    def __init__(self, config: Config, *, encoder_dim: int, decoder_dim: int, n_layers: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(encoder_dim) if config.norm else nn.Identity()
        self.project = nn.Linear(encoder_dim, decoder_dim)

    def prepare(self, memory: Memory) -> Memory:
        """The memory with tokens (B, M, D) in the decoder's width."""
        # Masked tokens may hold anything; zero times infinity would not be zero.
        tokens_BMD = self.project(self.norm(memory.tokens.masked_fill(~memory.mask[..., None], 0.0)))
        return Memory(tokens_BMD, memory.mask, memory.pooled)

    def forward(self, h_BTD: Tensor, memory: Memory, layer: int = 0) -> Tensor:
        """(B, M, D) tokens to put in front; `prefix_mask` tells the decoder which of them are real."""
        return memory.tokens

    def prefix_mask(self, memory: Memory) -> Tensor:
        """(B, M) bool, True where a prefix token is real."""
        return memory.mask
