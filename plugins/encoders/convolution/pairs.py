"""Each neighbour pair once: a distance, and with it every radial weight, is shared by both directions.

The reverse direction has the vector -r and harmonics (-1)^l Y_l(r), so nothing is stored twice.
Shapes: N atoms, E directed edges, P = E / 2 pairs, S = (lmax + 1)^2 harmonics, Q distinct distances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from e3nn import o3
from torch import Tensor

from crystalfw.core import CrystalBatch, Edges
from crystalfw.core.batch import edge_vectors

_STEP_BITS = 24
"""Bits that hold a distance counted in float32 spacings of the cutoff: at most 2^23."""


@dataclass(frozen=True)
class Pairs:
    """Undirected neighbour pairs; a self-image pair (i, i, t) / (i, i, -t) is one pair too."""

    first: Tensor
    """(P,) receiving atom of the listed direction, int64."""
    second: Tensor
    """(P,) sending atom of the listed direction; in the other direction the roles change."""
    splits: Tensor
    """(B + 1,) pairs of crystal b are splits[b] to splits[b + 1]; on the CPU."""
    n_atoms: int
    """N, atoms of the batch."""
    row: Tensor | None = None
    """(P,) which row of the weights (Q, W) is the pair's, never shared between crystals; None: each its own."""

    def spread(self, w_QW: Tensor) -> Tensor:
        """(P, W) weights of every pair."""
        return w_QW if self.row is None else w_QW[self.row]


@dataclass(frozen=True)
class Geometry:
    """The pairs of a batch with what the layers share."""

    pairs: Pairs
    vectors: Tensor
    """(P, 3) from first to second atom, angstrom."""
    distances: Tensor
    """(P,) angstrom; (Q,) after `distinct`."""
    cutoff: float
    """No pair is longer, angstrom."""

    @classmethod
    def of(cls, batch: CrystalBatch, edges: Edges, cutoff: float) -> Geometry:
        """Pairs no longer than `cutoff`, in the order of crystals; `edges` may reach further."""
        edges = _one_direction(edges)
        vectors_P3 = edge_vectors(batch, edges)
        if edges.cutoff > cutoff:
            near_P = vectors_P3.detach().square().sum(-1) < cutoff**2
            edges = Edges(edges.source[near_P], edges.target[near_P], edges.shift[near_P], cutoff)
            vectors_P3 = vectors_P3[near_P]
        crystal_P = batch.crystal_index[edges.target]
        if not bool((crystal_P[1:] >= crystal_P[:-1]).all()):
            order_P = torch.argsort(crystal_P, stable=True)
            edges = Edges(edges.source[order_P], edges.target[order_P], edges.shift[order_P], cutoff)
            vectors_P3, crystal_P = vectors_P3[order_P], crystal_P[order_P]
        counts_B = torch.bincount(crystal_P, minlength=batch.size)
        splits = torch.nn.functional.pad(counts_B.cumsum(0), (1, 0)).cpu()
        return cls(Pairs(edges.target, edges.source, splits, len(batch.numbers)), vectors_P3, _length(vectors_P3), cutoff)

    def distinct(self) -> Geometry:
        """The same pairs with each crystal's equal distances listed once, `distances` (Q,); without gradients.

        Equal means to float32's spacing at the cutoff (6e-7 angstrom at 5). Symmetric crystals repeat distances, those
        of the Materials Project about three times within 5 angstrom, and radial networks are the most expensive part.
        """
        distances_P = self.distances.detach().double()
        spacing = torch.finfo(torch.float32).eps * self.cutoff
        counts_B = self.pairs.splits.diff().to(distances_P.device)
        crystal_P = torch.repeat_interleave(torch.arange(len(counts_B), device=distances_P.device), counts_B)
        step_P = (distances_P / spacing).round().long()
        key_Q, row_P = torch.unique(step_P + (crystal_P << _STEP_BITS), return_inverse=True)
        distances_Q = (key_Q & ((1 << _STEP_BITS) - 1)).double() * spacing
        return replace(self, pairs=replace(self.pairs, row=row_P), distances=distances_Q.to(self.distances))

    def harmonics(self, lmax: int) -> Tensor:
        """(P, S) real spherical harmonics of the vectors, e3nn's order and 'component' normalization."""
        return o3.spherical_harmonics(list(range(lmax + 1)), self.vectors, normalize=True, normalization="component")


def _one_direction(edges: Edges) -> Edges:
    """Of every edge and its reverse, the one with the smaller target; between self-images, the positive shift."""
    x, y, z = edges.shift.unbind(-1)
    positive_E = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    keep_E = (edges.target < edges.source) | ((edges.target == edges.source) & positive_E)
    return Edges(edges.source[keep_E], edges.target[keep_E], edges.shift[keep_E], edges.cutoff)


def _length(vectors_P3: Tensor) -> Tensor:
    # the tiny number keeps the gradient finite where two atoms coincide; 1e-30 is lost beside any real distance
    return (vectors_P3.square().sum(-1) + 1e-30).sqrt()
