"""Pairs of atoms that are not edges: near ones (which must not come too close) and second neighbours (which determine angles).

Shapes: N atoms, E edges, P pairs, C candidate pairs of atoms of one crystal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from crystalfw.plugins.representations.slices.decoding.batch import Geometry, GraphBatch, rows_times

_REACH = 127
"""Largest label component that a key can hold; pairs beyond it are left out (no reduced cell has any)."""
_ONE_CELL = torch.cartesian_prod(*[torch.arange(-1, 2)] * 3)
_TWO_CELLS = torch.cartesian_prod(*[torch.arange(-2, 3)] * 3)
CROWD = 100
"""Average number of neighbours that a search looks for around an atom at most."""
SMALL_CELL = 3
"""Up to this number of atoms, images two cells away are searched too."""


@dataclass(frozen=True)
class Pairs:
    """P pairs of atoms: `target`, moved by `label`, as seen from `source`."""

    source: Tensor
    target: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.source)

    def take(self, index: Tensor) -> Pairs:
        """The pairs `index`."""
        return Pairs(self.source[index], self.target[index], self.label[index])


def joined(first: Pairs, second: Pairs) -> Pairs:
    """Both lists, concatenated."""
    return Pairs(
        torch.cat([first.source, second.source]),
        torch.cat([first.target, second.target]),
        torch.cat([first.label, second.label]),
    )


def edges_of(batch: GraphBatch, geometry: Geometry) -> Pairs:
    """The graph's edges as pairs, in the basis of the geometry."""
    return Pairs(batch.source, batch.target, geometry.label)


def keys(pairs: Pairs, n_atoms: int) -> Tensor:
    """(P,) one whole number per pair, equal for a pair and its reverse."""
    a, b, c = pairs.label.unbind(1)
    leading = torch.where(a != 0, a, torch.where(b != 0, b, c))
    turn = (pairs.source > pairs.target) | ((pairs.source == pairs.target) & (leading < 0))
    first, second = torch.where(turn, pairs.target, pairs.source), torch.where(turn, pairs.source, pairs.target)
    label = torch.where(turn[:, None], -pairs.label, pairs.label).clamp(-_REACH, _REACH) + _REACH
    base = 2 * _REACH + 1
    return (((first * n_atoms + second) * base + label[:, 0]) * base + label[:, 1]) * base + label[:, 2]


def from_keys(key_P: Tensor, n_atoms: int) -> Pairs:
    """The pairs of `keys`, in their normal direction."""
    base = 2 * _REACH + 1
    label = torch.stack([key_P // base**2 % base, key_P // base % base, key_P % base], 1) - _REACH
    atoms = key_P // base**3
    return Pairs(atoms // n_atoms, atoms % n_atoms, label)


def candidates(batch: GraphBatch) -> tuple[Tensor, Tensor]:
    """(C,), (C,) all pairs i <= j of atoms of the same crystal."""
    partners_N = batch.n_atoms[batch.crystal] - batch.slot
    first_C = torch.repeat_interleave(torch.arange(len(batch.numbers), device=partners_N.device), partners_N)
    start_N = partners_N.cumsum(0) - partners_N
    return first_C, first_C + torch.arange(len(first_C), device=first_C.device) - start_N[first_C]


def near(batch: GraphBatch, geometry: Geometry, candidate: tuple[Tensor, Tensor], radius_N: Tensor) -> Pairs:
    """All pairs closer than the larger of their atoms' radii (angstrom), edges among them; the cell must be reduced.

    It searches the 27 images around the nearest one in each coordinate (125 for very small cells): complete as long as
    the radius is not much larger than the cell. In a collapsed cell the radius shrinks until it holds about CROWD atoms,
    which no real crystal comes near: that bounds the work.
    """
    first_C, second_C = candidate
    share_B = torch.linalg.det(geometry.lattice).abs() / batch.n_atoms
    roomy_B = (share_B * (3 * CROWD / (4 * math.pi))).pow(1 / 3).to(radius_N.dtype)
    radius_N = torch.minimum(radius_N, roomy_B[batch.crystal])
    small_C = batch.n_atoms[batch.crystal[first_C]] <= SMALL_CELL
    found = [
        _near_images(batch, geometry, first_C[chosen], second_C[chosen], radius_N, images.to(first_C.device))
        for chosen, images in ((~small_C, _ONE_CELL), (small_C, _TWO_CELLS))
        if bool(chosen.any())
    ]
    return found[0] if len(found) == 1 else joined(found[0], found[1])


def _near_images(
    batch: GraphBatch, geometry: Geometry, first_C: Tensor, second_C: Tensor, radius_N: Tensor, images: Tensor
) -> Pairs:
    difference_C3 = geometry.frac[second_C] - geometry.frac[first_C]
    nearest_C3 = -difference_C3.round()
    lattice_B33 = geometry.lattice
    base_C3 = rows_times(difference_C3 + nearest_C3, lattice_B33[batch.crystal[first_C]])
    offset_BI3 = images.to(lattice_B33.dtype) @ lattice_B33
    # |base + offset|^2 without building the (C, I, 3) vectors
    square_CI = torch.bmm(offset_BI3[batch.crystal[first_C]], (2 * base_C3)[:, :, None])[:, :, 0]
    square_CI += base_C3.square().sum(1)[:, None] + offset_BI3.square().sum(2)[batch.crystal[first_C]]
    limit_C = torch.maximum(radius_N[first_C], radius_N[second_C]).square()
    row_P, image_P = (square_CI < limit_C[:, None]).nonzero(as_tuple=True)
    label_P3 = nearest_C3[row_P].long() + images[image_P]
    first_P, second_P = first_C[row_P], second_C[row_P]
    a, b, c = label_P3.unbind(1)
    forward_P = torch.where(a != 0, a, torch.where(b != 0, b, c)) > 0
    keep = ((first_P != second_P) | forward_P) & (label_P3.abs().amax(1) <= _REACH)
    return Pairs(first_P[keep], second_P[keep], label_P3[keep])


def without_edges(batch: GraphBatch, geometry: Geometry, pairs: Pairs) -> Pairs:
    """The pairs that are not edges."""
    n_atoms = len(batch.numbers)
    return pairs.take(~torch.isin(keys(pairs, n_atoms), keys(edges_of(batch, geometry), n_atoms)))


def second_neighbours(batch: GraphBatch, geometry: Geometry, most: int) -> Tensor:
    """(P,) sorted keys of the pairs joined by two edges over an atom with at most `most` edge ends."""
    edges, n_atoms = edges_of(batch, geometry), len(batch.numbers)
    centre = torch.cat([edges.source, edges.target])
    other = torch.cat([edges.target, edges.source])
    label = torch.cat([edges.label, -edges.label])
    degree_N = torch.bincount(centre, minlength=n_atoms)
    kept = degree_N[centre] <= most
    order = centre[kept].argsort(stable=True)
    centre, other, label = centre[kept][order], other[kept][order], label[kept][order]
    count_N = torch.bincount(centre, minlength=n_atoms)
    partners = count_N[centre]
    left = torch.repeat_interleave(torch.arange(len(centre), device=centre.device), partners)
    rank = torch.arange(len(left), device=left.device) - (partners.cumsum(0) - partners)[left]
    right = (count_N.cumsum(0) - count_N)[centre[left]] + rank
    left, right = left[right > left], right[right > left]
    pairs = Pairs(other[left], other[right], label[right] - label[left])
    itself = (pairs.source == pairs.target) & (pairs.label == 0).all(1)
    return torch.unique(keys(pairs.take(~itself), n_atoms))
