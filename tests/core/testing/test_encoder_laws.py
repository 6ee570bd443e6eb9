"""Every law of encoders catches an encoder that was broken on purpose, and passes a sound one.

Shapes: B crystals, N atoms, E edges, M tokens, C width.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from crystalfw.core.batch import CrystalBatch, Memory, masked_mean
from crystalfw.core.interfaces import Encoder
from crystalfw.core.testing import laws_of
from crystalfw.core.testing.laws import NotApplicable, Subject
from tests.core.testing.planted import other_config, unordered_version


class Sound(Encoder):
    """Element embedding and a sum of smooth functions of neighbour distances."""

    requires = frozenset({"geometry"})
    cutoff = 5.0
    dim = 8

    def __init__(self, config):
        super().__init__()
        self.embed = nn.Embedding(119, 8)
        self.mix = nn.Sequential(nn.Linear(12, 8), nn.SiLU(), nn.Linear(8, 8))

    def radial(self, r_E: Tensor) -> Tensor:
        bells_E4 = torch.exp(-((r_E[:, None] - torch.tensor([1.5, 2.5, 3.5, 4.5], dtype=r_E.dtype)) ** 2))
        return bells_E4 * self.envelope(r_E)[:, None]

    def envelope(self, r_E: Tensor) -> Tensor:
        return 0.5 * (1 + torch.cos(torch.pi * (r_E / self.cutoff).clamp(max=1)))

    def atoms(self, batch: CrystalBatch) -> Tensor:
        edges = batch.edges
        moved_E3 = batch.frac_coords[edges.source] + edges.shift - batch.frac_coords[edges.target]
        vectors_E3 = torch.einsum("ei,eij->ej", moved_E3, batch.lattice[batch.crystal_index[edges.target]])
        seen_N4 = vectors_E3.new_zeros(len(batch.numbers), 4).index_add(0, edges.target, self.radial(vectors_E3.norm(dim=-1)))
        return self.mix(torch.cat([self.embed(batch.numbers), seen_N4], dim=-1))

    def pool(self, tokens_BMC: Tensor, mask_BM: Tensor) -> Tensor:
        return masked_mean(tokens_BMC, mask_BM)

    def forward(self, batch: CrystalBatch) -> Memory:
        atoms_NC = self.atoms(batch)
        mask_BM = torch.arange(int(batch.n_atoms.max())) < batch.n_atoms[:, None]
        tokens_BMC = atoms_NC.new_zeros(*mask_BM.shape, 8).masked_scatter(mask_BM[..., None], atoms_NC)
        return Memory(tokens_BMC, mask_BM, self.pool(tokens_BMC, mask_BM))


class WrongDim(Sound):
    dim = 9


class SeesX(Sound):
    def atoms(self, batch):
        return super().atoms(batch) + batch.lattice[batch.crystal_index, :, 0].sum(-1, keepdim=True)


class SeesHand(Sound):
    def atoms(self, batch):
        return super().atoms(batch) + batch.lattice.det().sign()[batch.crystal_index, None]


class SeesPlace(Sound):
    def atoms(self, batch):
        return super().atoms(batch) + torch.sin(2 * torch.pi * batch.frac_coords).sum(-1, keepdim=True)


class SeesCell(Sound):
    def atoms(self, batch):
        return super().atoms(batch) + torch.floor(batch.frac_coords + 1e-9).sum(-1, keepdim=True)


class SeesOrder(Sound):
    def atoms(self, batch):
        return super().atoms(batch) * torch.arange(1, len(batch.numbers) + 1)[:, None]


class SeesBasis(Sound):
    def atoms(self, batch):
        return super().atoms(batch) + batch.lattice.norm(dim=-1).sum(-1)[batch.crystal_index, None]


class SumPool(Sound):
    def pool(self, tokens_BMC, mask_BM):
        return tokens_BMC.sum(1)


class BatchNorm(Sound):
    def pool(self, tokens_BMC, mask_BM):
        pooled_BC = masked_mean(tokens_BMC, mask_BM)
        return pooled_BC - pooled_BC.mean(0)


class Undeclared(Sound):
    requires = frozenset({"composition"})


class RootOfZero(Sound):
    def atoms(self, batch):
        atoms_NC = super().atoms(batch)
        return atoms_NC + (atoms_NC - atoms_NC).square().sum(-1, keepdim=True).sqrt()


class HiddenState(Sound):
    def __init__(self, config):
        super().__init__(config)
        self.hidden = torch.randn(8)

    def atoms(self, batch):
        return super().atoms(batch) + self.hidden


class Noisy(Sound):
    def atoms(self, batch):
        return super().atoms(batch) + torch.randn(8)


class HardCutoff(Sound):
    def envelope(self, r_E):
        return torch.ones_like(r_E)


BUGS = {
    "dimensions": WrongDim,
    "rotation": SeesX,
    "reflection": SeesHand,
    "translation": SeesPlace,
    "wrapping": SeesCell,
    "permutation": SeesOrder,
    "basis": SeesBasis,
    "supercell": SumPool,
    "batch_independence": BatchNorm,
    "declared_inputs": Undeclared,
    "gradients": RootOfZero,
    "state_dict": HiddenState,
    "determinism": Noisy,
    "smooth_cutoff": HardCutoff,
    "config": other_config(Sound),
    "version": unordered_version(Sound),
}


@pytest.mark.parametrize("law", laws_of("encoder"), ids=lambda law: law.name)
def test_a_sound_encoder_passes(law):
    assert law.violation(Subject("encoder", Sound)) is None


@pytest.mark.parametrize("law", laws_of("encoder"), ids=lambda law: law.name)
def test_the_planted_bug_is_caught(law):
    message = law.violation(Subject("encoder", BUGS[law.name]))
    assert message is not None, f"{BUGS[law.name].__name__} passes"
    assert message.startswith(law.statement)
    assert message.endswith(law.remedy)
    assert "ended with" not in message or law.name == "declared_inputs"


def test_the_bugs_are_specific():
    """What breaks one invariance leaves unrelated laws alone: a law does not fail for whatever reason."""
    for name, others in {"reflection": ["rotation", "translation", "basis"], "supercell": ["rotation", "permutation"],
                         "smooth_cutoff": ["rotation", "basis", "gradients"]}.items():  # fmt: skip
        for law in laws_of("encoder"):
            if law.name in others:
                assert law.violation(Subject("encoder", BUGS[name])) is None


def test_no_cutoff_is_not_applicable():
    class Flat(Sound):
        cutoff = None

        def atoms(self, batch):
            return self.embed(batch.numbers)

    (law,) = (law for law in laws_of("encoder") if law.name == "smooth_cutoff")
    with pytest.raises(NotApplicable):
        law.violation(Subject("encoder", Flat))
