"""The space-group encoder: the number 1 to 230 and its crystal system, as one learned token.

Shapes: B crystals, C width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crystalfw.core import CrystalBatch, DataError, Encoder, Memory
from crystalfw.core.recipe.schema import Count

COLUMN = "spacegroup.number"
FIRST_OF_SYSTEM = (1, 3, 16, 75, 143, 168, 195)
"""First space group of triclinic, monoclinic, orthorhombic, tetragonal, trigonal, hexagonal, cubic
(International Tables for Crystallography A)."""


class SpaceGroup(Encoder):
    """Embedding of the space group plus that of its crystal system, which rare groups share with common ones.

    A missing number is a learned token.
    """

    requires = frozenset({f"properties.{COLUMN}"})

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the space-group encoder."""

        dim: Count = 128
        """Width of the token."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dim = config.dim
        self.groups = nn.Embedding(231, config.dim)
        self.systems = nn.Embedding(len(FIRST_OF_SYSTEM) + 1, config.dim)

    def forward(self, batch: CrystalBatch) -> Memory:
        """One token (B, 1, C), which is also the pooled vector. Raises DataError for a number outside of 1 to 230."""
        number_B = self._numbers(batch)
        first = torch.tensor(FIRST_OF_SYSTEM, device=number_B.device)
        system_B = torch.bucketize(number_B, first, right=True)
        token_BC = self.groups(number_B) + self.systems(system_B)
        mask_B1 = torch.ones(batch.size, 1, dtype=torch.bool, device=token_BC.device)
        return Memory(token_BC[:, None], mask_B1, token_BC)

    def _numbers(self, batch: CrystalBatch) -> Tensor:
        """(B,) space-group numbers, 0 where missing."""
        values_B = batch.properties.get(COLUMN)
        if values_B is None:
            return torch.zeros(batch.size, dtype=torch.int64, device=self.groups.weight.device)
        number_B = values_B.nan_to_num(0.0)
        bad_B = (number_B != number_B.round()) | (number_B < 0) | (number_B > 230) | (values_B == 0)
        if bool(bad_B.any()):
            raise DataError(f"space group {values_B[bad_B][0].item():g}: space groups are the whole numbers 1 to 230")
        return number_B.long()
