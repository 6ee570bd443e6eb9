"""Quality of a decoded crystal, judged by its string and its geometry.

Shapes: B crystals, N atoms, E edges, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystalfw.plugins.representations.slices.decoding.batch import Geometry, GraphBatch
from crystalfw.plugins.representations.slices.decoding.pairs import candidates, edges_of, near
from crystalfw.plugins.representations.slices.graph.bonds import econ_bonds
from crystalfw.plugins.representations.slices.graph.completion import completing_contacts
from crystalfw.plugins.representations.slices.graph.graph import QuotientGraph, normalised

CLOSEST = 0.5
"""Angstrom. Atoms closer than this cannot form a crystal."""
MAX_RESIDUAL = 0.5
"""Mean relative error of the bond lengths beyond which the crystal does not realise its string."""

MAX_ATOMS, MAX_EDGES = 256, 60
"""Larger cells, and more edges per atom than this, are not tried."""

DECODER_REASONS: dict[str, str] = {
    "size": f"more than {MAX_ATOMS} atoms, or more than {MAX_EDGES} edges an atom",
    "embedding": "the net of bonds has no sound three-dimensional realisation: positions or cell are degenerate",
    "geometry": f"atoms come closer than {CLOSEST} angstrom, or the bonds miss their expected lengths by half on average",
}
"""Why a graph could not be decoded to a crystal."""


@dataclass(frozen=True)
class Quality:
    """Figures of B crystals, each (B,) float64."""

    residual: Tensor
    """Mean of |length / expected - 1| over the edges; expected by string, net or table."""
    shortest: Tensor
    """Shortest distance of two atoms (or an atom and its image), angstrom."""
    contradiction: Tensor
    """Mean over the stated lengths of |ln(length / stated)| beyond half the token's width; 0 if all are met."""


def measure(batch: GraphBatch, geometry: Geometry, expected_E: Tensor, atom_N: Tensor) -> Quality:
    """Quality of a reduced geometry against expected lengths (E,) in angstrom."""
    edges, crystal_E = edges_of(batch, geometry), batch.edge_crystal
    length_E = geometry.vectors(edges.source, edges.target, edges.label, crystal_E).norm(dim=1).double()
    zero_B = torch.zeros(batch.size, dtype=torch.float64, device=length_E.device)
    count_B = zero_B.index_add(0, crystal_E, torch.ones_like(length_E)).clamp_min(1)
    residual_B = zero_B.index_add(0, crystal_E, (length_E / expected_E.double() - 1).abs()) / count_B
    stated_E = batch.stated > 0
    off_E = (length_E.clamp_min(1e-3) / batch.stated.clamp_min(1e-3)).log().abs() - batch.step / 2
    off_E = torch.where(stated_E, off_E.clamp_min(0), torch.zeros_like(off_E))
    n_stated_B = zero_B.index_add(0, crystal_E, stated_E.double()).clamp_min(1)
    contradiction_B = zero_B.index_add(0, crystal_E, off_E) / n_stated_B
    close = near(batch, geometry, candidates(batch), atom_N)
    close_crystal = batch.crystal[close.source]
    close_P = geometry.vectors(close.source, close.target, close.label, close_crystal).norm(dim=1).double()
    shortest_B = torch.full_like(zero_B, torch.inf).scatter_reduce(0, crystal_E, length_E, "amin")
    shortest_B = shortest_B.scatter_reduce(0, close_crystal, close_P, "amin")
    return Quality(residual_B, shortest_B, contradiction_B)


def encodes_again(
    graph: QuotientGraph, lattice: NDArray[np.float64], frac: NDArray[np.float64], shifts: NDArray[np.int64]
) -> bool:
    """Do the bonds of the crystal (reduced cell, wrapped atoms) equal those of the graph, whose edges have `shifts` there?

    In a graph without flags completing contacts count as bonds.
    """
    bonds, _, _ = econ_bonds(lattice, frac)
    if not graph.contact.any():
        contacts, _, _ = completing_contacts(lattice, frac, bonds)
        bonds = np.concatenate([bonds, contacts])
    kept = ~graph.contact
    i, j, turned = normalised(graph.i[kept], graph.j[kept], shifts[kept])
    wanted = np.column_stack([i, j, turned])
    if len(wanted) != len(bonds):
        return False
    return set(map(tuple, wanted.tolist())) == set(map(tuple, bonds.tolist()))
