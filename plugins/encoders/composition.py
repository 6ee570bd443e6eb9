"""The composition encoder: which elements, in which shares; nothing of the geometry.

Shares, not counts, enter: a crystal and its supercell are the same composition.
Shapes: B crystals, N atoms, M distinct elements of the richest crystal, Z element table, C width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crystalfw.core import CrystalBatch, Encoder, Memory
from crystalfw.core.recipe.schema import Count

N_ELEMENTS = 119
"""Rows of the element table: atomic numbers 1 to 118; row 0 is the unknown composition."""


class CompositionEncoder(Encoder):
    """One token per element, from its embedding and its share; the pooled vector weighs tokens by share.

    The set network of Zaheer et al., 'Deep Sets', NeurIPS 2017. The lattice may be NaN. A crystal without atoms
    gets the single token of the unknown composition.
    """

    requires = frozenset({"composition"})

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the composition encoder."""

        dim: Count = 128
        """Width of tokens and pooled vector."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dim = config.dim
        self.elements = nn.Embedding(N_ELEMENTS, config.dim)
        self.token = nn.Sequential(nn.Linear(config.dim + 2, config.dim), nn.SiLU(), nn.Linear(config.dim, config.dim))
        self.pool = nn.Sequential(nn.Linear(config.dim, config.dim), nn.SiLU(), nn.Linear(config.dim, config.dim))

    def forward(self, batch: CrystalBatch) -> Memory:
        """Element tokens (B, M, C) by ascending atomic number, mask (B, M), pooled (B, C)."""
        shares_BZ = element_shares(batch).to(self.elements.weight.dtype)
        present_BZ = shares_BZ > 0
        longest = int(present_BZ.sum(1).max())
        # a stable sort of "absent" puts the elements present first, in their order
        numbers_BM = torch.argsort((~present_BZ).to(torch.int8), dim=1, stable=True)[:, :longest]
        share_BM = shares_BZ.gather(1, numbers_BM)
        mask_BM = share_BM > 0
        share_BM1 = share_BM[..., None]
        logarithm_BM1 = share_BM1.clamp_min(1e-3).log()
        tokens_BMC = self.token(torch.cat([self.elements(numbers_BM), share_BM1, logarithm_BM1], dim=2))
        return Memory(tokens_BMC, mask_BM, self.pool((share_BM1 * tokens_BMC).sum(1)))


def element_shares(batch: CrystalBatch) -> Tensor:
    """(B, Z) share of each element, rows summing to one; element 0 has share one if a crystal has no atoms."""
    cell_N = batch.crystal_index * N_ELEMENTS + batch.numbers
    counts_BZ = torch.bincount(cell_N, minlength=batch.size * N_ELEMENTS).view(batch.size, N_ELEMENTS)
    counts_BZ[:, 0] += batch.n_atoms == 0
    return counts_BZ.to(batch.lattice.dtype) / counts_BZ.sum(1, keepdim=True)
