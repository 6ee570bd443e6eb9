"""FiLM conditioning: every block's tokens are scaled and shifted by the pooled vector (Perez et al., arXiv:1709.07871).

Shapes: B crystals, T tokens, L blocks, C encoder width, D decoder width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crystalfw.core import Conditioning, Memory


class FiLM(Conditioning):
    """Fills the port `layer`: the residual is scale * norm(h) + shift. Starts with zero influence."""

    port = "layer"
    zero_init = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of FiLM."""

        hidden: int = 64
        """Width of the hidden layer between pooled vector and scales."""

    def __init__(self, config: Config, *, encoder_dim: int, decoder_dim: int, n_layers: int) -> None:
        super().__init__()
        self.n_layers = n_layers
        self.norm = nn.LayerNorm(decoder_dim, elementwise_affine=False)
        self.read = nn.Sequential(nn.LayerNorm(encoder_dim), nn.Linear(encoder_dim, config.hidden), nn.SiLU())
        self.write = nn.Linear(config.hidden, n_layers * 2 * decoder_dim)
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)

    def prepare(self, memory: Memory) -> Tensor:
        """(B, L, 2, D) scales and shifts: once per batch, not once per token."""
        return self.write(self.read(memory.pooled)).unflatten(-1, (self.n_layers, 2, -1))

    def forward(self, h_BTD: Tensor, prepared_BL2D: Tensor, layer: int = 0) -> Tensor:
        """The residual (B, T, D) of block `layer`."""
        scale_BD, shift_BD = torch.unbind(prepared_BL2D[:, layer], dim=1)
        return scale_BD[:, None] * self.norm(h_BTD) + shift_BD[:, None]
