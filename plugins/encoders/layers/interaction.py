"""One layer of the equivariant encoder: mix channels, convolve over neighbours, mix again, gate.

Shapes: N atoms, P pairs, Q distinct distances, X features of a row, S harmonics, R radial functions.
"""

from __future__ import annotations

import math

import torch
from e3nn import o3
from torch import Tensor, nn

from crystalfw.plugins.encoders.convolution import Layout, Pairs, Paths, make_kernel
from crystalfw.plugins.encoders.layers.radial import SIGMOID_SCALE, SILU_SCALE, RadialNetwork

N_ELEMENTS = 119
"""Rows of element tables: atomic numbers 1 to 118, 0 for an unknown element."""


class BlockLinear(nn.Module):
    """Channels of each irrep mixed among themselves: the only linear map that commutes with rotations (Schur)."""

    def __init__(self, irreps_in: o3.Irreps, irreps_out: o3.Irreps) -> None:
        super().__init__()
        self.source, self.target = Layout(irreps_in), Layout(irreps_out)
        self.pairs = [(self.source.find(block.irrep), block, str(block.irrep)) for block in self.target.blocks]
        self.weights = nn.ParameterDict()
        for source, block, name in self.pairs:
            if source is not None:
                weight = torch.randn(source.channels, block.channels) / math.sqrt(source.channels)
                self.weights[name] = nn.Parameter(weight)

    def forward(self, x_NX: Tensor) -> Tensor:
        """(N, X in) -> (N, X out); an irrep that the input lacks becomes zero."""
        parts = []
        for source, block, name in self.pairs:
            if source is None:
                parts.append(x_NX.new_zeros(len(x_NX), block.components * block.channels))
            else:
                parts.append((source.take(x_NX) @ self.weights[name]).flatten(1))
        return torch.cat(parts, dim=1)


class Gate(nn.Module):
    """SiLU on scalars; every other channel times the sigmoid of a scalar of its own.

    M. Weiler et al., '3D Steerable CNNs', NeurIPS 2018, section 4.3; scales as in e3nn.nn.Gate.
    """

    def __init__(self, irreps_out: o3.Irreps) -> None:
        super().__init__()
        self.target = Layout(irreps_out)
        (self.scalars, first), *others = self.target.irreps
        assert first.l == 0, "scalars come first"
        n_gates = sum(channels for channels, _ in others)
        self.irreps_in = o3.Irreps([(self.scalars + n_gates, first), *others])
        self.source = Layout(self.irreps_in)

    def forward(self, x_NX: Tensor) -> Tensor:
        """(N, scalars, gates and the rest) -> (N, X)."""
        scalars_NM = x_NX[:, : self.scalars]
        gates_NM = SIGMOID_SCALE * torch.sigmoid(x_NX[:, self.scalars : self.source.blocks[0].stop])
        parts, start = [SILU_SCALE * nn.functional.silu(scalars_NM)], 0
        for block in self.source.blocks[1:]:
            gate_N1M = gates_NM[:, None, start : start + block.channels]
            parts.append((block.take(x_NX) * gate_N1M).flatten(1))
            start += block.channels
        return torch.cat(parts, dim=1)


class Interaction(nn.Module):
    """gate(mix(convolution(mix(x))) / sqrt(n) + mix(element gain * x)), n a typical number of neighbours."""

    def __init__(
        self,
        irreps_in: o3.Irreps,
        irreps_out: o3.Irreps,
        *,
        lmax: int,
        parity: bool,
        n_radial: int,
        radial_hidden: int,
        typical_neighbours: float,
        kernel: str,
        all_irreps: o3.Irreps,
    ) -> None:
        super().__init__()
        self.gate = Gate(irreps_out)
        self.paths = Paths(irreps_in, irreps_out, lmax, parity=parity)
        self.mix_in = BlockLinear(irreps_in, irreps_in)
        self.radial = RadialNetwork(n_radial, radial_hidden, self.paths.weight_dim)
        self.kernel = make_kernel(kernel, self.paths, all_irreps)
        self.mix_out = BlockLinear(self.paths.output.irreps, self.gate.irreps_in)
        self.mix_self = BlockLinear(irreps_in, self.gate.irreps_in)
        self.element_gain = nn.Embedding(N_ELEMENTS, Layout(irreps_in).irreps.num_irreps)
        nn.init.normal_(self.element_gain.weight, mean=1.0, std=0.1)
        self.scale = 1 / math.sqrt(2 * typical_neighbours)

    def forward(self, x_NX: Tensor, numbers_N: Tensor, functions_QR: Tensor, y_PS: Tensor, pairs: Pairs) -> Tensor:
        """The features (N, X out) after the layer."""
        messages_NO = self.kernel(self.mix_in(x_NX), y_PS, self.radial(functions_QR), pairs)
        kept_NX = self._gain(self.element_gain(numbers_N), x_NX)
        return self.gate(self.scale * self.mix_out(messages_NO) + math.sqrt(0.5) * self.mix_self(kept_NX))

    def _gain(self, gain_NM: Tensor, x_NX: Tensor) -> Tensor:
        parts, start = [], 0
        for block in self.mix_self.source.blocks:
            parts.append((block.take(x_NX) * gain_NM[:, None, start : start + block.channels]).flatten(1))
            start += block.channels
        return torch.cat(parts, dim=1)
