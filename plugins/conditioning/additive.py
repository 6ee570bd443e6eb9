"""Additive conditioning: the pooled embedding, projected, is added to every embedded token once.

Shapes: B crystals, T tokens, D decoder width, C encoder width.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from crystalfw.core.batch import Memory
from crystalfw.core.interfaces import Conditioning


class Additive(Conditioning):
    """token + position + projected embedding, once, at the input: how the plain GPT is conditioned.

    It starts with zero influence, as cross-attention does: the encoder's vectors are many times larger than fresh token
    embeddings (standard deviation 0.02) and would drown them.
    """

    port = "input"
    zero_init = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the additive conditioning."""

        scale: float = 1.0
        """Factor on the projected embedding before it is added."""

    def __init__(self, config: Config, *, encoder_dim: int, decoder_dim: int, n_layers: int) -> None:
        super().__init__()
        self.scale = config.scale
        self.project = nn.Linear(encoder_dim, decoder_dim)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def prepare(self, memory: Memory) -> Tensor:
        """(B, D) the projected pooled vector."""
        projected_BD: Tensor = self.project(memory.pooled)
        return self.scale * projected_BD

    def forward(self, h_BTD: Tensor, projected_BD: Tensor, layer: int = 0) -> Tensor:
        """h with the condition added: every token of a crystal gets the same vector."""
        return h_BTD + projected_BD[:, None]
