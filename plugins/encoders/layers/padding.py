"""From rows of atoms to token sets and back. Shapes: B crystals, N atoms, M atoms of the largest crystal, C width."""

from __future__ import annotations

import torch
from torch import Tensor

from crystalfw.core import CrystalBatch


def pad_atoms(tokens_NC: Tensor, batch: CrystalBatch) -> tuple[Tensor, Tensor]:
    """Tokens (B, M, C), zero where padded, and their mask (B, M)."""
    starts_B = batch.n_atoms.cumsum(0) - batch.n_atoms
    position_N = torch.arange(len(batch.numbers), device=tokens_NC.device) - starts_B[batch.crystal_index]
    longest = int(batch.n_atoms.max())
    tokens_BMC = tokens_NC.new_zeros(batch.size, longest, tokens_NC.shape[1])
    tokens_BMC = tokens_BMC.index_put((batch.crystal_index, position_N), tokens_NC)
    return tokens_BMC, torch.arange(longest, device=tokens_NC.device) < batch.n_atoms[:, None]
