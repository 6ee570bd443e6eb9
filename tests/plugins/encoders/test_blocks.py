"""Large batches go through the encoder in blocks of crystals: the same tokens, gradients and errors."""

from dataclasses import replace

import pytest
import torch

from crystalfw.core import CrystalBatch, Edges
from crystalfw.core.testing.crystals import F64, make, random_crystal
from crystalfw.plugins.encoders.layers import blocks as room

OPTIONS = {"multiplicities": (8, 6, 4), "dim": 16, "radial_hidden": 16, "cutoff": 4.0}


@pytest.fixture(scope="module")
def batch():
    crystals = [random_crystal(seed, 1 + seed % 4) for seed in range(9)]
    lonely = replace(crystals[0], lattice=30 * torch.eye(3).numpy())  # no neighbour at all
    return CrystalBatch.from_crystals([*crystals[:4], lonely, *crystals[4:], lonely], F64)


def run(encoder, batch):
    encoder.zero_grad()
    memory = encoder(batch)
    memory.tokens[memory.mask].square().sum().backward()
    return memory, [weight.grad.clone() for weight in encoder.parameters() if weight.grad is not None]


@pytest.mark.parametrize("block", [1, 60, 150])
@pytest.mark.parametrize("order", ["as found", "shuffled"])
def test_blocks_change_nothing(batch, monkeypatch, block, order):
    encoder = make(**OPTIONS).double()
    given = batch.with_edges(4.0)
    if order == "shuffled":
        mixed = torch.randperm(len(given.edges.source), generator=torch.Generator().manual_seed(0))
        edges = given.edges
        given = replace(given, edges=Edges(edges.source[mixed], edges.target[mixed], edges.shift[mixed], edges.cutoff))
    whole, gradients = run(encoder, given)
    monkeypatch.setattr(room, "BLOCK", block)
    parts = room.blocks(given, given.edges)
    assert len(parts) > 1
    assert sum(part.size for part, _ in parts) == batch.size
    assert sum(len(edges.source) for _, edges in parts) == len(given.edges.source)
    memory, others = run(encoder, given)
    torch.testing.assert_close(memory.tokens[memory.mask], whole.tokens[whole.mask], atol=1e-12, rtol=0)
    for found, expected in zip(others, gradients, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)
