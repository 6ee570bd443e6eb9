"""Which irreps couple to which, and where each block of numbers lies.

Features are channel-last: an irrep l with M channels is a block (2l + 1, M), all blocks of an atom side by side in one
row. The inner loop of every kernel then runs over adjacent channels. e3nn keeps (M, 2l + 1).
Shapes: N atoms, M channels, D = 2 l_in + 1, K = 2 l_out + 1, S harmonics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from e3nn import o3
from torch import Tensor


@dataclass(frozen=True)
class Block:
    """One irrep with its channels: columns `start` to `stop` of a row hold (2l + 1, channels)."""

    irrep: o3.Irrep
    channels: int
    start: int
    components: int
    """2l + 1; an integer of its own, since torch.compile cannot look into an Irrep."""

    @property
    def stop(self) -> int:
        """First column after the block."""
        return self.start + self.components * self.channels

    def take(self, x_NX: Tensor) -> Tensor:
        """The block's (N, 2l + 1, M) view of rows (N, X)."""
        return x_NX[:, self.start : self.stop].unflatten(1, (self.components, self.channels))


class Layout:
    """The blocks of a row, in order; built from e3nn irreps such as 32x0e+16x1o+8x2e."""

    def __init__(self, irreps: o3.Irreps) -> None:
        self.irreps = o3.Irreps(irreps)
        self.blocks: list[Block] = []
        for channels, irrep in self.irreps:
            self.blocks.append(Block(irrep, channels, self.blocks[-1].stop if self.blocks else 0, int(irrep.dim)))
        self.dim = int(self.irreps.dim)

    def find(self, irrep: o3.Irrep) -> Block | None:
        """The block of an irrep, or None."""
        return next((block for block in self.blocks if block.irrep == irrep), None)

    def to_e3nn(self, x_NX: Tensor) -> Tensor:
        """Channel-last rows (N, X) in e3nn's order (N, X)."""
        return torch.cat([block.take(x_NX).transpose(1, 2).flatten(1) for block in self.blocks], dim=1)

    def from_e3nn(self, x_NX: Tensor) -> Tensor:
        """e3nn's rows (N, X) in channel-last order (N, X)."""
        parts = [
            x_NX[:, block.start : block.stop].unflatten(1, (block.channels, block.components)).transpose(1, 2).flatten(1)
            for block in self.blocks
        ]
        return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class Path:
    """One coupling l_in x l_sh -> l_out with a weight per channel ('uvu' in e3nn's words)."""

    source: Block
    harmonic: int
    """Degree l of the spherical harmonic."""
    output: Block
    """Block of the message layout that the path writes into."""
    channel: int
    """First channel of that block that is this path's own."""
    weight: int
    """First column of the path's weights, one per channel."""

    def coefficients(self) -> Tensor:
        """(2 l_sh + 1, K, D) coupling coefficients, float64; unit variance out for unit variance in.

        e3nn's real Wigner 3j symbols times sqrt(2 l_out + 1), its 'component' normalization.
        """
        l_in, l_out = self.source.irrep.l, self.output.irrep.l
        wigner = o3.wigner_3j(l_in, self.harmonic, l_out, dtype=torch.float64)
        return wigner.permute(1, 2, 0) * math.sqrt(2 * l_out + 1)


class Paths:
    """All couplings of `irreps_in` with harmonics up to `lmax` that end in one of the irreps of `irreps_out`."""

    def __init__(self, irreps_in: o3.Irreps, irreps_out: o3.Irreps, lmax: int, *, parity: bool) -> None:
        self.source = Layout(irreps_in)
        self.lmax = lmax
        self.harmonics = harmonic_irreps(lmax, parity=parity)
        wanted = sorted({irrep for _, irrep in o3.Irreps(irreps_out)})
        couplings = [
            [(block, sh.l) for block in self.source.blocks for _, sh in self.harmonics if irrep in block.irrep * sh]
            for irrep in wanted
        ]
        channels = [sum(block.channels for block, _ in pairs) for pairs in couplings]
        kept = [(irrep, count, pairs) for irrep, count, pairs in zip(wanted, channels, couplings, strict=True) if count]
        self.output = Layout(o3.Irreps([(count, irrep) for irrep, count, _ in kept]))
        self.paths: list[Path] = []
        weight = 0
        for block, (_, _, pairs) in zip(self.output.blocks, kept, strict=True):
            channel = 0
            for source, harmonic in pairs:
                self.paths.append(Path(source, harmonic, block, channel, weight))
                channel, weight = channel + source.channels, weight + source.channels
        self.weight_dim = weight
        """W, weights per neighbour pair."""


def harmonic_irreps(lmax: int, *, parity: bool) -> o3.Irreps:
    """The irreps of the harmonics 0..lmax: with parity (-1)^l, or all even if reflections are not imposed."""
    return o3.Irreps([(1, (degree, (-1) ** degree if parity else 1)) for degree in range(lmax + 1)])
