"""Self-supervised pre-training of an encoder: restore the hidden elements and distances of a crystal.

Atoms are displaced by Gaussian noise and some lose their element. From the encoder's atom tokens the decoder names the lost
elements, and for pairs of neighbours predicts by how much their distance was changed. It predicts distances, not vectors,
because the tokens are invariant and so must be what is predicted from them (distance denoising, Liu, Guo and Tang, ICLR
2023; masked atoms, Hu et al., ICLR 2020). It needs no labels; any crystals can serve.

Shapes: B crystals, N atoms, P pairs, C encoder width, G radial functions, Z atomic numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crystalfw.core.batch import CrystalBatch, Memory, TrainBatch, edge_vectors
from crystalfw.core.errors import PluginError
from crystalfw.core.interfaces import Decoder, Ports
from crystalfw.core.recipe.schema import Bounds, Count
from crystalfw.core.records import Loss, Vocabulary

UNKNOWN, N_ELEMENTS = 0, 119
"""The atomic number of an atom without element; one more than the largest."""
N_RADIAL = 16


class Denoiser(Decoder):
    """Names masked elements, and finds the noise in distances, from one token per atom."""

    ports = frozenset({"none"})
    needs_tokens = False
    reads_atoms: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the denoiser."""

        displacement: Annotated[float, Bounds(0, 1)] = 0.1
        """Standard deviation of each Cartesian component of an atom's displacement, angstrom."""
        masked: Annotated[float, Bounds(0, 1)] = 0.15
        """Share of atoms whose element is hidden; at least one of every crystal, none at 0."""
        cutoff: Annotated[float, Bounds(0.1, 100)] = 4.0
        """Pairs up to this distance are denoised, angstrom."""
        distance_weight: Annotated[float, Bounds(0)] = 1.0
        """Weight of the distances' loss (squared, in units of the noise) beside the elements' (nats)."""
        hidden: Count = 128
        """Width of the hidden layer."""

        def __post_init__(self) -> None:
            """Raise PluginError if nothing is hidden."""
            if not self.displacement and not self.masked:
                raise PluginError("denoiser: displacement and masked are both 0: there is nothing to restore")

    def __init__(self, config: Config, *, encoder_dim: int, vocabulary: Vocabulary | None = None) -> None:
        super().__init__()
        self.config, self.dim = config, encoder_dim
        self.norm = nn.LayerNorm(encoder_dim)
        self.element = _mlp(encoder_dim, config.hidden, N_ELEMENTS)
        self.distance = _mlp(2 * encoder_dim + N_RADIAL, config.hidden, 1)

    @torch.compiler.disable
    def hide(self, batch: TrainBatch) -> TrainBatch:
        """The batch with displaced atoms and lost elements, and what they were in `hidden`.

        What is hidden of a crystal depends on its index and, in training, on torch's seed, which the fit sets again for every
        step; in evaluation it is always the same.
        """
        crystals, seed = batch.crystals, torch.initial_seed() if self.training else 0
        moved, lost = [], []
        for index, n_atoms in zip(batch.index.tolist(), crystals.n_atoms.tolist(), strict=True):
            rng = np.random.Generator(np.random.Philox(key=[seed % 2**63, index]))
            moved.append(rng.standard_normal((n_atoms, 3)))
            draw = rng.random(n_atoms)
            lost.append((draw < self.config.masked) | ((draw == draw.min(initial=1)) & (self.config.masked > 0)))
        moved_N3 = torch.from_numpy(self.config.displacement * np.concatenate(moved)).to(crystals.frac_coords)
        lost_N = torch.from_numpy(np.concatenate(lost)).to(crystals.numbers.device)
        inverse_N33 = torch.linalg.inv(crystals.lattice)[crystals.crystal_index]
        frac_N3 = crystals.frac_coords + (moved_N3[:, None] @ inverse_N33)[:, 0]
        seen = replace(crystals, frac_coords=frac_N3, numbers=crystals.numbers.masked_fill(lost_N, UNKNOWN), edges=None)
        radius = max(self.config.cutoff, crystals.edges.cutoff if crystals.edges is not None else 0.0)
        hidden = {"lost": lost_N, "numbers": crystals.numbers, "frac_coords": crystals.frac_coords}
        return replace(batch, crystals=seen.with_edges(radius), hidden=hidden)

    def loss(self, batch: TrainBatch, memory: Memory, ports: Ports) -> Loss:
        """Sum over crystals of the mean loss of lost elements plus the weighted mean loss of distances."""
        crystals, hidden = batch.crystals, batch.hidden
        tokens_NC = self.norm(memory.tokens[memory.mask])
        if len(tokens_NC) != len(crystals.numbers):
            raise PluginError("denoiser: needs an encoder with one token per atom, such as equivariant")
        lost = hidden["lost"].nonzero()[:, 0]
        logits_LZ, true_L = self.element(tokens_NC[lost]).float(), hidden["numbers"][lost]
        nats_L = functional.cross_entropy(logits_LZ, true_L, reduction="none")
        square_P, crystal_P = self._distance_errors(crystals, hidden["frac_coords"], tokens_NC)
        elements = _sum_of_means(nats_L, crystals.crystal_index[lost], crystals.size)
        distances = _sum_of_means(square_P, crystal_P, crystals.size)
        right_L = (logits_LZ.argmax(1) == true_L).float()
        parts = {
            "element_nats": (nats_L.detach().sum(), _count(nats_L)),
            "element_accuracy": (right_L.sum(), _count(right_L)),
            "distance": (square_P.detach().sum(), _count(square_P)),
        }
        return Loss(elements + self.config.distance_weight * distances, _count(crystals.n_atoms), parts)

    def _distance_errors(self, crystals: CrystalBatch, true_N3: Tensor, tokens_NC: Tensor) -> tuple[Tensor, Tensor]:
        """(P,) squared error of each pair's noise in units of `displacement`, and (P,) the crystal it belongs to."""
        edges = crystals.edges
        assert edges is not None
        seen_E = edge_vectors(crystals, edges).norm(dim=1)
        near = (seen_E <= self.config.cutoff).nonzero()[:, 0]
        source_P, target_P = edges.source[near], edges.target[near]
        true_P = edge_vectors(replace(crystals, frac_coords=true_N3), edges).norm(dim=1)[near]
        noise_P = (seen_E[near] - true_P) / (self.config.displacement or 1.0)
        first_PC, second_PC = tokens_NC[source_P], tokens_NC[target_P]
        centres_G = torch.linspace(0, self.config.cutoff, N_RADIAL, device=seen_E.device, dtype=seen_E.dtype)
        radial_PG = torch.exp(-(((seen_E[near, None] - centres_G) * N_RADIAL / self.config.cutoff) ** 2))
        pair_PX = torch.cat([first_PC + second_PC, first_PC * second_PC, radial_PG.to(tokens_NC.dtype)], dim=1)
        found_P = self.distance(pair_PX)[:, 0].float()
        return (found_P - noise_P.float()) ** 2, crystals.crystal_index[target_P]


def _mlp(n_in: int, hidden: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, hidden), nn.SiLU(), nn.Linear(hidden, n_out))


def _sum_of_means(values: Tensor, crystal: Tensor, size: int) -> Tensor:
    """The mean over each crystal's own values, summed over crystals; a crystal without values adds zero."""
    zeros_B = values.new_zeros(size)
    count_B = zeros_B.index_add(0, crystal, torch.ones_like(values))
    return (zeros_B.index_add(0, crystal, values) / count_B.clamp_min(1)).sum()


def _count(values: Tensor) -> Tensor:
    return torch.tensor(float(len(values)), device=values.device)
