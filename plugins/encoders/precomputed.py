"""The precomputed encoder: embeddings from other programs, projected to the memory's width.

Shapes: B crystals, M tokens, K width of the embeddings, C width of the memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from crystalfw.core import CrystalBatch, DataError, Encoder, Memory
from crystalfw.core.batch import masked_mean
from crystalfw.core.recipe.schema import Count


class Precomputed(Encoder):
    """One vector (K,) or a set of them (M, K) per crystal: normalized, then projected.

    Rows that are NaN are masked; a crystal with none left gets one learned token.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the precomputed encoder."""

        array: str = "embedding"
        """Name of the embedding: a column of the table, or a .npy / .pt file beside it."""
        size: Count
        """K, numbers per embedding vector."""
        dim: Count = 128
        """Width of tokens and pooled vector."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.array, self.size, self.dim = config.array, config.size, config.dim
        self.requires = frozenset({f"arrays.{config.array}"})
        self.project = nn.Sequential(nn.LayerNorm(config.size), nn.Linear(config.size, config.dim))
        self.missing = nn.Parameter(torch.randn(config.dim))

    def forward(self, batch: CrystalBatch) -> Memory:
        """Tokens (B, M, C), mask (B, M), pooled (B, C). Raises DataError if the array is absent or has another width."""
        if self.array not in batch.arrays:
            known = ", ".join(sorted(batch.arrays)) or "none"
            raise DataError(f"encoder 'precomputed': the data has no embedding called '{self.array}'; there are: {known}")
        values_BMK = batch.arrays[self.array]
        if values_BMK.ndim == 2:
            values_BMK = values_BMK[:, None]
        if values_BMK.shape[-1] != self.size:
            raise DataError(
                f"encoder 'precomputed': embedding '{self.array}' has {values_BMK.shape[-1]} numbers per vector; "
                f"the recipe says size: {self.size}"
            )
        mask_BM = values_BMK.isfinite().all(-1)
        values_BMK = torch.where(mask_BM[..., None], values_BMK, 0.0).to(self.missing.dtype)
        tokens_BMC = self.project(values_BMK)
        empty_B1 = ~mask_BM.any(1, keepdim=True)
        tokens_BMC = torch.where(empty_B1[..., None], self.missing.to(tokens_BMC.dtype), tokens_BMC)
        first_M = torch.arange(mask_BM.shape[1], device=mask_BM.device) == 0
        mask_BM = mask_BM | (empty_B1 & first_M)
        return Memory(tokens_BMC, mask_BM, masked_mean(tokens_BMC, mask_BM))
