"""No condition: one constant learned token, so that every conditioning has a memory to read.

Shapes: B crystals, C width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from crystalfw.core import CrystalBatch, Encoder, Memory
from crystalfw.core.recipe.schema import Count


class NoEncoder(Encoder):
    """The same token for every crystal: the model is unconditional."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the encoder `none`."""

        dim: Count = 128
        """Width of the token."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dim = config.dim
        self.token = nn.Parameter(torch.randn(config.dim))

    def forward(self, batch: CrystalBatch) -> Memory:
        """One token (B, 1, C), which is also the pooled vector."""
        token_BC = self.token.expand(batch.size, self.dim)
        mask_B1 = torch.ones(batch.size, 1, dtype=torch.bool, device=token_BC.device)
        return Memory(token_BC[:, None], mask_B1, token_BC)
