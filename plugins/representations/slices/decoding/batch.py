"""Labelled quotient graphs of mixed sizes, flattened into one batch, and the geometry that a decoder gives them.

Shapes: B crystals, N atoms of all crystals together, E edges of all crystals together, S atoms of the largest crystal.
An edge e = (i, j, t) says: atom j, moved by the lattice translation t, is a neighbour of atom i.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from crystalfw.plugins.representations.slices.graph.graph import QuotientGraph
from crystalfw.plugins.representations.slices.text.dialects import COARSE, FINE, angstrom


@dataclass(frozen=True)
class GraphBatch:
    """B graphs; atoms and edges are concatenated in the order of the crystals."""

    numbers: Tensor
    """(N,) atomic numbers."""
    crystal: Tensor
    """(N,) crystal of every atom, ascending."""
    slot: Tensor
    """(N,) position of every atom in its crystal."""
    offset: Tensor
    """(B,) first atom of every crystal."""
    n_atoms: Tensor
    """(B,)"""
    source: Tensor
    """(E,) atom i of every edge, counted through the batch."""
    target: Tensor
    """(E,) atom j of every edge."""
    label: Tensor
    """(E, 3) translation of every edge, in the basis of the string."""
    contact: Tensor
    """(E,) bool, flagged contacts."""
    stated: Tensor
    """(E,) stated length in angstrom, 0 if none is stated."""
    step: Tensor
    """(E,) width of a stated length's token in ln d, 0 if none is stated."""

    @property
    def size(self) -> int:
        """Number of crystals B."""
        return len(self.n_atoms)

    @property
    def largest(self) -> int:
        """Atoms of the largest crystal S."""
        return int(self.n_atoms.max())

    @property
    def edge_crystal(self) -> Tensor:
        """(E,) crystal of every edge."""
        return self.crystal[self.source]

    def degree(self, include: Tensor) -> Tensor:
        """(N,) number of edge ends at every atom, over edges with `include` (E,) true; a loop counts twice."""
        weight_E = include.long()
        count_N = torch.zeros_like(self.numbers)
        return count_N.index_add_(0, self.source, weight_E).index_add_(0, self.target, weight_E)

    def select(self, crystals: Tensor) -> GraphBatch:
        """The crystals `crystals` (ascending indices) as a batch of their own."""
        chosen_B = torch.zeros(self.size, dtype=torch.bool, device=crystals.device)
        chosen_B[crystals] = True
        atoms, edges = chosen_B[self.crystal], chosen_B[self.edge_crystal]
        number_N = atoms.cumsum(0) - 1
        n_atoms = self.n_atoms[crystals]
        crystal = torch.repeat_interleave(torch.arange(len(crystals), device=crystals.device), n_atoms)
        return replace(
            self,
            numbers=self.numbers[atoms],
            crystal=crystal,
            slot=self.slot[atoms],
            offset=n_atoms.cumsum(0) - n_atoms,
            n_atoms=n_atoms,
            source=number_N[self.source[edges]],
            target=number_N[self.target[edges]],
            label=self.label[edges],
            contact=self.contact[edges],
            stated=self.stated[edges],
            step=self.step[edges],
        )

    def to(self, device: torch.device | str) -> GraphBatch:
        """The same batch on another device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in self.__dataclass_fields__})

    @classmethod
    def from_graphs(cls, graphs: Sequence[QuotientGraph]) -> GraphBatch:
        """Concatenate graphs of any sizes."""
        n_atoms = torch.tensor([graph.n_atoms for graph in graphs])
        n_edges = torch.tensor([graph.n_edges for graph in graphs])
        offset = n_atoms.cumsum(0) - n_atoms
        crystal = torch.repeat_interleave(torch.arange(len(graphs)), n_atoms)
        first_E = torch.repeat_interleave(offset, n_edges)
        token_E = np.concatenate([graph.length for graph in graphs])
        stated_E = torch.as_tensor(np.where(token_E < 0, 0.0, angstrom(token_E)))
        step_B = torch.tensor([token_width(graph) for graph in graphs], dtype=torch.float64)
        return cls(
            numbers=torch.as_tensor(np.concatenate([graph.numbers for graph in graphs])).long(),
            crystal=crystal,
            slot=torch.arange(len(crystal)) - offset[crystal],
            offset=offset,
            n_atoms=n_atoms,
            source=torch.as_tensor(np.concatenate([graph.i for graph in graphs])).long() + first_E,
            target=torch.as_tensor(np.concatenate([graph.j for graph in graphs])).long() + first_E,
            label=torch.as_tensor(np.concatenate([graph.shifts for graph in graphs])).long(),
            contact=torch.as_tensor(np.concatenate([graph.contact for graph in graphs])),
            stated=stated_E,
            step=torch.repeat_interleave(step_B, n_edges) * (stated_E > 0),
        )


def token_width(graph: QuotientGraph) -> float:
    """Width in ln d of the graph's length tokens: fine if a bond has one or a step is not on the coarse scale."""
    fine = bool(((graph.length >= 0) & (~graph.contact | (graph.length % FINE != 0))).any())
    return float(np.log(COARSE)) / (FINE if fine else 1)


@dataclass(frozen=True)
class Geometry:
    """Positions and cells of a batch, in a basis that may differ from the string's.

    lattice = basis @ lattice in the string's basis; frac = frac in the string's basis @ inverse(basis) - shift.
    """

    frac: Tensor
    """(N, 3) fractional coordinates."""
    lattice: Tensor
    """(B, 3, 3) lattice rows, angstrom."""
    label: Tensor
    """(E, 3) edge translations in this basis, int64."""
    basis: Tensor
    """(B, 3, 3) unimodular, float64."""
    shift: Tensor
    """(N, 3) whole numbers, float64."""

    def vectors(self, source: Tensor, target: Tensor, label: Tensor, crystal: Tensor) -> Tensor:
        """(P, 3) vectors in angstrom from atom `source` to atom `target` moved by `label`."""
        difference_P3 = self.frac[target] + label.to(self.frac.dtype) - self.frac[source]
        return rows_times(difference_P3, self.lattice[crystal])

    def select(self, batch: GraphBatch, crystals: Tensor) -> Geometry:
        """The geometry of the crystals `crystals` (ascending indices) of its batch."""
        chosen_B = torch.zeros(batch.size, dtype=torch.bool, device=crystals.device)
        chosen_B[crystals] = True
        atoms, edges = chosen_B[batch.crystal], chosen_B[batch.edge_crystal]
        return Geometry(self.frac[atoms], self.lattice[crystals], self.label[edges], self.basis[crystals], self.shift[atoms])

    def put(self, batch: GraphBatch, crystals: Tensor, part: Geometry) -> Geometry:
        """This geometry with that of the crystals `crystals` replaced by `part`."""
        chosen_B = torch.zeros(batch.size, dtype=torch.bool, device=crystals.device)
        chosen_B[crystals] = True
        atoms, edges = chosen_B[batch.crystal], chosen_B[batch.edge_crystal]
        return Geometry(
            self.frac.index_put((atoms,), part.frac),
            self.lattice.index_put((crystals,), part.lattice),
            self.label.index_put((edges,), part.label),
            self.basis.index_put((crystals,), part.basis),
            self.shift.index_put((atoms,), part.shift),
        )


def rows_times(rows_P3: Tensor, matrix_P33: Tensor) -> Tensor:
    """Row vectors times one matrix each: (P, 3) and (P, 3, 3) to (P, 3)."""
    return (rows_P3[:, :, None] * matrix_P33).sum(1)


def by_size(costs: Sequence[int], most: int, budget: int) -> Iterator[list[int]]:
    """Indices in groups of similar cost: at most `most` in a group, at most `budget` in all (one item always)."""
    order = sorted(range(len(costs)), key=lambda index: costs[index])
    group: list[int] = []
    for index in order:
        if group and (len(group) == most or (len(group) + 1) * costs[index] > budget):
            yield group
            group = []
        group.append(index)
    if group:
        yield group
