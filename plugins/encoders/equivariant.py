"""The equivariant encoder: a periodic graph network whose tokens obey every symmetry of a crystal.

Only relative vectors of all periodic images within the cutoff enter; messages are tensor products with spherical
harmonics; tokens are invariants. So tokens do not change under rotation, reflection (with `parity`), translation,
wrapping or another basis of the lattice; they are permuted with the atoms, and repeated in a supercell.
The laws, and how they are tested: docs/guides/encoder.md. Relatives: tensor field networks (Thomas et al. 2018), NequIP
(Batzner et al. 2022).
Shapes: B crystals, N atoms, P pairs, Q distinct distances, M atoms of the largest crystal, X features, C width.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from e3nn import o3
from torch import Tensor, nn

from crystalfw.core import CrystalBatch, Edges, Encoder, Memory, PluginError
from crystalfw.core.batch import masked_mean, neighbour_edges
from crystalfw.core.recipe.schema import Bounds, Count
from crystalfw.plugins.encoders.convolution import Geometry, Layout
from crystalfw.plugins.encoders.layers.blocks import blocks
from crystalfw.plugins.encoders.layers.interaction import N_ELEMENTS, Interaction
from crystalfw.plugins.encoders.layers.padding import pad_atoms
from crystalfw.plugins.encoders.layers.radial import radial_functions

ATOM_DENSITY = 0.06
"""Atoms per cubic angstrom of a typical inorganic crystal: scales the sum over neighbours."""


class Equivariant(Encoder):
    """One token per atom; the pooled vector is their mean, so it is the same for a cell and its supercells."""

    requires = frozenset({"geometry"})
    atom_tokens = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the equivariant encoder."""

        dim: Count = 128
        """Width of tokens and pooled vector."""
        lmax: Annotated[int, Bounds(0, 8)] = 2
        """Highest degree of spherical harmonics and features."""
        multiplicities: tuple[Count, ...] = (32, 16, 8)
        """Channels of the features of degree 0, 1, ..., lmax."""
        layers: Count = 3
        """Rounds of message passing; if there are several, the last one makes scalars only."""
        cutoff: Annotated[float, Bounds(0.1, 100)] = 5.0
        """Neighbour radius in angstrom."""
        radial: Literal["bessel", "gaussian"] = "bessel"
        """Radial functions: sines over the distance, or bells evenly spaced."""
        n_radial: Count = 8
        """Number of radial functions."""
        radial_hidden: Count = 64
        """Width of the two hidden layers that turn a distance into weights."""
        parity: bool = True
        """True imposes reflections too (O(3)): the two hands of a chiral crystal get the same tokens. False (SO(3))
        adds the couplings that reflections forbid, so that the hands differ."""
        kernel: Literal["auto", "e3nn", "torch", "jit"] = "auto"
        """How the convolution is computed; the kernels give equal numbers."""

        def __post_init__(self) -> None:
            """Raise PluginError if a degree has no multiplicity."""
            object.__setattr__(self, "multiplicities", tuple(self.multiplicities))
            if len(self.multiplicities) < self.lmax + 1:
                raise PluginError(
                    f"multiplicities: lmax {self.lmax} needs {self.lmax + 1} numbers, channels of degree 0 to {self.lmax}, "
                    f"not {len(self.multiplicities)}"
                )

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.dim, self.cutoff = config, config.dim, config.cutoff
        degrees = range(config.lmax + 1)
        self.irreps = o3.Irreps(
            [(config.multiplicities[degree], (degree, (-1) ** degree if config.parity else 1)) for degree in degrees]
        )
        scalars = self.irreps[:1]
        stages = [scalars] + [self.irreps] * max(config.layers - 1, 1) + [scalars] * (config.layers > 1)
        self.elements = nn.Embedding(N_ELEMENTS, config.multiplicities[0])
        self.layers = nn.ModuleList(
            Interaction(
                irreps_in,
                irreps_out,
                lmax=config.lmax,
                parity=config.parity,
                n_radial=config.n_radial,
                radial_hidden=config.radial_hidden,
                typical_neighbours=ATOM_DENSITY * 4 / 3 * math.pi * config.cutoff**3,
                kernel=config.kernel,
                all_irreps=self.irreps,
            )
            for irreps_in, irreps_out in itertools.pairwise(stages)
        )
        n_invariants = sum(stage.num_irreps for stage in stages)
        self.project = nn.Sequential(
            nn.LayerNorm(n_invariants),
            nn.Linear(n_invariants, config.dim),
            nn.SiLU(),
            nn.Linear(config.dim, config.dim),
        )

    def forward(self, batch: CrystalBatch) -> Memory:
        """Atom tokens (B, M, C) in the order of the atoms, mask (B, M), pooled (B, C). Raises DataError, as
        `neighbour_edges` does, for a crystal without geometry."""
        tokens_BMC, mask_BM = pad_atoms(self.project(self._atom_invariants(batch)), batch)
        return Memory(tokens_BMC, mask_BM, masked_mean(tokens_BMC, mask_BM))

    @torch.compiler.disable
    def equivariant_features(self, batch: CrystalBatch) -> Tensor:
        """(N, irreps.dim) features of degree 0 to lmax in e3nn's order: row n transforms with `irreps.D_from_matrix`."""
        layout, x_NX = self._features(batch, self._edges(batch))[-2 if self.config.layers > 1 else -1]
        return layout.to_e3nn(x_NX)

    @torch.compiler.disable  # torch.compile cannot guard on e3nn's irreps, and the kernels are compiled already
    def _atom_invariants(self, batch: CrystalBatch) -> Tensor:
        """(N, I) scalars and lengths of all stages."""
        parts = []
        for block, edges in blocks(batch, self._edges(batch)):
            stages = self._features(block, edges)
            parts.append(torch.cat([_invariants(layout, x_NX) for layout, x_NX in stages], dim=1))
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _edges(self, batch: CrystalBatch) -> Edges:
        """The edges of the batch if they reach far enough, otherwise searched here."""
        if batch.edges is None or batch.edges.cutoff < self.config.cutoff:
            return neighbour_edges(batch, self.config.cutoff)
        return batch.edges

    def _features(self, batch: CrystalBatch, edges: Edges) -> list[tuple[Layout, Tensor]]:
        """Layout and rows after the embedding and after every layer."""
        config, dtype = self.config, self.elements.weight.dtype
        geometry = Geometry.of(batch, edges, config.cutoff)
        y_PS = geometry.harmonics(config.lmax).to(dtype)
        if dtype != torch.float64 and not geometry.vectors.requires_grad:
            geometry = geometry.distinct()
        functions_QR = radial_functions(config.radial, config.n_radial, geometry.distances, config.cutoff).to(dtype)
        x_NX = self.elements(batch.numbers)
        stages = [(Layout(self.irreps[:1]), x_NX)]
        for layer in self.layers:
            assert isinstance(layer, Interaction)
            x_NX = layer(x_NX, batch.numbers, functions_QR, y_PS, geometry.pairs)
            stages.append((layer.gate.target, x_NX))
        return stages


def _invariants(layout: Layout, x_NX: Tensor) -> Tensor:
    """(N, I) scalars, and the length of every channel of higher degree; smooth at zero."""
    parts = []
    for block in layout.blocks:
        x_NDM = block.take(x_NX)
        parts.append(x_NDM[:, 0] if block.components == 1 else (x_NDM.square().sum(1) + 1e-6).sqrt())
    return torch.cat(parts, dim=1)
