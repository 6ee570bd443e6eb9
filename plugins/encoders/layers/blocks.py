"""A large batch in blocks of whole crystals, so that a layer's data stays in the processor's cache. Crystals do not
interact, so results are the same. Measured: benchmarks/encoder.md, scaling. Shapes: B crystals, N atoms, E edges.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch

from crystalfw.core import CrystalBatch, Edges

BLOCK = 60_000
"""Edges of a block on a CPU; a crystal with more is a block of its own."""


def blocks(batch: CrystalBatch, edges: Edges) -> list[tuple[CrystalBatch, Edges]]:
    """The batch with its edges in consecutive blocks; one block if it is small or not on a CPU."""
    if len(edges.source) <= BLOCK or batch.numbers.device.type != "cpu":
        return [(batch, edges)]
    crystal_E = batch.crystal_index[edges.target]
    if not bool((crystal_E[1:] >= crystal_E[:-1]).all()):
        order_E = torch.argsort(crystal_E, stable=True)
        edges = replace(edges, source=edges.source[order_E], target=edges.target[order_E], shift=edges.shift[order_E])
    edge_ends = torch.bincount(crystal_E, minlength=batch.size).cumsum(0)
    atom_ends = batch.n_atoms.cumsum(0)
    number_B = (edge_ends - 1).clamp_min(0) // BLOCK
    starts = [0, *(number_B.diff().nonzero()[:, 0] + 1).tolist(), batch.size]
    found = []
    for first, last in itertools.pairwise(starts):
        atom, edge = (int(ends[first - 1]) if first else 0 for ends in (atom_ends, edge_ends))
        atoms, own = slice(atom, int(atom_ends[last - 1])), slice(edge, int(edge_ends[last - 1]))
        part = CrystalBatch(
            lattice=batch.lattice[first:last],
            frac_coords=batch.frac_coords[atoms],
            numbers=batch.numbers[atoms],
            crystal_index=batch.crystal_index[atoms] - first,
            n_atoms=batch.n_atoms[first:last],
        )
        found.append((part, Edges(edges.source[own] - atom, edges.target[own] - atom, edges.shift[own], edges.cutoff)))
    return found
