"""SchNet as an encoder: continuous-filter convolutions over neighbour distances (Schuett et al., arXiv:1706.08566).

Shapes: B crystals, N atoms, E edges, M atoms of the largest crystal, C width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch_geometric.nn.models.schnet import GaussianSmearing, InteractionBlock

from crystalfw.core import CrystalBatch, Encoder, Memory


class SchNet(Encoder):
    """One token per atom from distances alone; the pooled vector is their mean, the same for a supercell."""

    requires = frozenset({"geometry"})

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of SchNet."""

        dim: int = 64
        """Width of tokens and pooled vector."""
        layers: int = 3
        """Interaction blocks."""
        n_gaussians: int = 32
        """Gaussians that a distance is spread over."""
        cutoff: float = 5.0
        """Neighbour radius in angstrom."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dim, self.cutoff = config.dim, config.cutoff  # the data loader prepares batch.edges for this cutoff
        self.embed = nn.Embedding(119, config.dim)
        self.smear = GaussianSmearing(0.0, config.cutoff, config.n_gaussians)
        self.blocks = nn.ModuleList(
            [InteractionBlock(config.dim, config.n_gaussians, config.dim, config.cutoff) for _ in range(config.layers)]
        )

    def forward(self, batch: CrystalBatch) -> Memory:
        """Tokens (B, M, C), mask (B, M), pooled (B, C)."""
        edges = batch.edges
        moved_E3 = batch.frac_coords[edges.source] + edges.shift - batch.frac_coords[edges.target]
        lattice_E33 = batch.lattice[batch.crystal_index[edges.target]]
        distance_E = torch.einsum("ei,eij->ej", moved_E3, lattice_E33).norm(dim=-1)
        edge_index = torch.stack([edges.source, edges.target])
        h_NC = self.embed(batch.numbers)
        for block in self.blocks:
            h_NC = h_NC + block(h_NC, edge_index, distance_E, self.smear(distance_E))
        return as_memory(h_NC, batch)


def as_memory(h_NC: Tensor, batch: CrystalBatch) -> Memory:
    """Atoms side by side, crystal by crystal, padded; pooled by a mean over real atoms."""
    mask_BM = torch.arange(int(batch.n_atoms.max()), device=h_NC.device) < batch.n_atoms[:, None]
    tokens_BMC = h_NC.new_zeros(*mask_BM.shape, h_NC.shape[-1]).masked_scatter(mask_BM[..., None], h_NC)
    return Memory(tokens_BMC, mask_BM, tokens_BMC.sum(1) / batch.n_atoms[:, None])
