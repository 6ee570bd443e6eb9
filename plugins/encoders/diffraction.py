"""The diffraction encoder: the lines of a powder pattern as tokens that look at each other.

A set of (d, intensity, width): lines that are missing or foreign are missing or further tokens, nothing shifts. 1/d^2 is what
a cell makes of integers, so it enters through waves of many lengths.
Shapes: B crystals, M lines, W waves, C width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from crystalfw.core import CrystalBatch, DataError, Encoder, Memory
from crystalfw.core.powder.line_table import ARRAY
from crystalfw.core.recipe.schema import Bounds, Count

WAVES = 24


class Diffraction(Encoder):
    """One token per line from 1/d, log intensity and width; self-attention among the lines; pooled by intensity.

    The set network of J. Lee et al., 'Set Transformer', ICML 2019, with full attention.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the diffraction encoder."""

        dim: Count = 128
        """Width of tokens and pooled vector."""
        layers: Annotated[int, Bounds(0, 12)] = 2
        """Blocks of self-attention among the lines."""
        heads: Count = 4
        """Attention heads; a divisor of dim."""

    requires = frozenset({f"arrays.{ARRAY}"})

    def __init__(self, config: Config) -> None:
        super().__init__()
        if config.dim % config.heads:
            raise DataError(f"encoder 'diffraction': dim {config.dim} is no multiple of heads {config.heads}")
        self.dim = config.dim
        self.raw = nn.Linear(3, config.dim)
        self.token = nn.Sequential(nn.Linear(2 * WAVES, config.dim), nn.SiLU(), nn.Linear(config.dim, config.dim))
        self.missing = nn.Parameter(torch.randn(config.dim))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.dim, config.heads, 2 * config.dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(config.layers)
        )
        self.pool = nn.Sequential(nn.Linear(2 * config.dim, config.dim), nn.SiLU(), nn.Linear(config.dim, config.dim))
        # periods from 0.004 to 1 in 1/angstrom: the resolution and the range of a pattern
        self.register_buffer("waves", 2 * torch.pi / torch.logspace(-2.4, 0.0, WAVES), persistent=False)

    waves: Tensor

    def forward(self, batch: CrystalBatch) -> Memory:
        """Line tokens (B, M, C), mask (B, M), pooled (B, C); one learned token where a pattern has no line."""
        if ARRAY not in batch.arrays:
            raise DataError(
                "encoder 'diffraction': the data has no lines; add the transform 'powder_lines', or give a pattern with "
                "--condition pattern=FILE"
            )
        lines_BM3 = batch.arrays[ARRAY]
        lines_BM3 = lines_BM3[:, None] if lines_BM3.ndim == 2 else lines_BM3
        mask_BM = lines_BM3.isfinite().all(-1)
        lines_BM3 = torch.where(mask_BM[..., None], lines_BM3, torch.ones_like(lines_BM3)).to(self.missing.dtype)
        share_BM1 = torch.where(mask_BM[..., None], lines_BM3[..., 1:2].abs(), 0.0)
        h_BMC = self._tokens(lines_BM3)
        empty_B1 = ~mask_BM.any(1, keepdim=True)
        h_BMC = torch.where(empty_B1[..., None], self.missing, h_BMC)
        mask_BM = mask_BM | (empty_B1 & (torch.arange(mask_BM.shape[1], device=mask_BM.device) == 0))
        for block in self.blocks:
            h_BMC = block(h_BMC, src_key_padding_mask=~mask_BM)
        kept_BMC = torch.where(mask_BM[..., None], h_BMC, 0.0)
        mean_BC = kept_BMC.sum(1) / mask_BM.sum(1, keepdim=True)
        strong_BC = (kept_BMC * share_BM1).sum(1) / share_BM1.sum(1).clamp_min(1e-6)
        return Memory(kept_BMC, mask_BM, self.pool(torch.cat([mean_BC, strong_BC], 1)))

    def _tokens(self, lines_BM3: Tensor) -> Tensor:
        inverse_BM1 = 1 / lines_BM3[..., :1].abs().clamp_min(0.3)
        strength_BM1 = lines_BM3[..., 1:2].abs().clamp_min(1e-4).log()
        phase_BMW = inverse_BM1 * self.waves
        waves_BMW2 = torch.cat([phase_BMW.sin(), phase_BMW.cos()], -1)
        return self.raw(torch.cat([inverse_BM1, strength_BM1, lines_BM3[..., 2:]], -1)) + self.token(waves_BMW2)
