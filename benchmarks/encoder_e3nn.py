"""The encoder's twin, written with e3nn's own modules: the same irreps, parameters and numbers, as its users write it.

Every directed edge has its own radial network row, features are in e3nn's layout, messages are scattered with index_add.
"""

from __future__ import annotations

import math

import torch
from e3nn import nn as e3nn_nn
from e3nn import o3
from torch import Tensor, nn

from crystalfw.core import CrystalBatch
from crystalfw.core.batch import edge_vectors
from crystalfw.plugins.encoders.equivariant import Equivariant
from crystalfw.plugins.encoders.layers.interaction import BlockLinear, Interaction
from crystalfw.plugins.encoders.layers.radial import RadialNetwork, radial_functions

Inputs = tuple[Tensor, ...]


def inputs(batch: CrystalBatch) -> Inputs:
    """What the twin reads: vectors per directed edge, indices, elements, the crystal of each atom, atoms per crystal."""
    assert batch.edges is not None
    return (
        edge_vectors(batch, batch.edges), batch.edges.source, batch.edges.target, batch.numbers, batch.crystal_index,
        batch.n_atoms,
    )  # fmt: skip


class Twin(nn.Module):
    """Pooled vectors (B, C) of an `Equivariant` whose weights it copies."""

    def __init__(self, encoder: Equivariant) -> None:
        super().__init__()
        config = self.config = encoder.config
        # plain integers in forward: torch.compile cannot guard on Irreps
        self.degrees = list(range(config.lmax + 1))
        harmonics = o3.Irreps([(1, (degree, (-1) ** degree)) for degree in self.degrees])
        self.elements = encoder.elements
        self.layers = nn.ModuleList(_Layer(layer, harmonics) for layer in encoder.layers)
        self.project = encoder.project

    def forward(
        self, vectors: Tensor, source: Tensor, target: Tensor, numbers: Tensor, crystal: Tensor, n_atoms: Tensor
    ) -> Tensor:
        config = self.config
        y = o3.spherical_harmonics(self.degrees, vectors, normalize=True, normalization="component")
        radial = radial_functions(config.radial, config.n_radial, vectors.norm(dim=1), config.cutoff)
        x = self.elements(numbers)
        found = [x]
        for layer in self.layers:
            x = layer(x, numbers, radial, y, source, target)
            found.append(_invariants(layer.blocks, x))
        tokens = self.project(torch.cat(found, dim=1))
        summed = tokens.new_zeros(len(n_atoms), tokens.shape[1]).index_add(0, crystal, tokens)
        return summed / n_atoms[:, None]


class _Layer(nn.Module):
    def __init__(self, layer: Interaction, harmonics: o3.Irreps) -> None:
        super().__init__()
        irreps_in, irreps_out = layer.paths.source.irreps, layer.gate.target.irreps
        self.blocks = [
            (place.start, place.stop, channels, irrep.dim)
            for (channels, irrep), place in zip(irreps_out, irreps_out.slices(), strict=True)
        ]
        per_path = o3.Irreps([(path.source.channels, path.output.irrep) for path in layer.paths.paths])
        position = {block.start: index for index, block in enumerate(layer.paths.source.blocks)}
        self.mix_in = _linear(layer.mix_in)
        self.radial = _radial(layer.radial)
        self.product = o3.TensorProduct(
            irreps_in, harmonics, per_path,
            [(position[p.source.start], p.harmonic, k, "uvu", True) for k, p in enumerate(layer.paths.paths)],
            shared_weights=False, internal_weights=False, path_normalization="none",
        )  # fmt: skip
        self.mix_out, self.mix_self = _linear(layer.mix_out), _linear(layer.mix_self)
        self.element_gain, self.scale = layer.element_gain, layer.scale
        self.gain = o3.ElementwiseTensorProduct(irreps_in, o3.Irreps(f"{irreps_in.num_irreps}x0e"))
        gated = irreps_out[1:]
        gates = o3.Irreps([(gated.num_irreps, (0, 1))] if gated else [])
        self.gate = e3nn_nn.Gate(irreps_out[:1], [nn.functional.silu], gates, [torch.sigmoid] * len(gates), gated)

    def forward(self, x: Tensor, numbers: Tensor, radial: Tensor, y: Tensor, source: Tensor, target: Tensor) -> Tensor:
        messages = self.product(self.mix_in(x)[source], y, self.radial(radial))
        summed = messages.new_zeros(len(x), messages.shape[1]).index_add(0, target, messages)
        kept = self.mix_self(self.gain(x, self.element_gain(numbers)))
        return self.gate(self.scale * self.mix_out(summed) + math.sqrt(0.5) * kept)


def _linear(mine: BlockLinear) -> o3.Linear:
    linear = o3.Linear(mine.source.irreps, mine.target.irreps)
    weights = []
    for instruction in linear.instructions:
        weight = mine.weights[str(mine.source.irreps[instruction.i_in].ir)]
        weights.append((weight * math.sqrt(weight.shape[0])).flatten())
    linear.weight.data.copy_(torch.cat(weights))
    return linear


def _radial(mine: RadialNetwork) -> e3nn_nn.FullyConnectedNet:
    widths = [mine.weights[0].shape[0], *(weight.shape[1] for weight in mine.weights)]
    network = e3nn_nn.FullyConnectedNet(widths, nn.functional.silu)
    for layer, weight in zip(network, mine.weights, strict=True):
        layer.weight.data.copy_(weight.data * math.sqrt(weight.shape[0]))
    return network


def _invariants(blocks: list[tuple[int, int, int, int]], x: Tensor) -> Tensor:
    parts = []
    for start, stop, channels, components in blocks:
        block = x[:, start:stop].unflatten(1, (channels, components))
        parts.append(block[..., 0] if components == 1 else (block.square().sum(-1) + 1e-6).sqrt())
    return torch.cat(parts, dim=1)
