"""Graphs to crystals: batches of similar size, the closed form, least squares, rounds of the length net.

Shapes: B crystals, N atoms, E edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystalfw.core.crystal import Crystal
from crystalfw.core.records import Decoded, Frame
from crystalfw.plugins.representations.slices.decoding.batch import Geometry, GraphBatch, by_size
from crystalfw.plugins.representations.slices.decoding.bond_table import BondTable
from crystalfw.plugins.representations.slices.decoding.net import LengthNet
from crystalfw.plugins.representations.slices.decoding.quality import (
    CLOSEST,
    DECODER_REASONS,
    MAX_ATOMS,
    MAX_EDGES,
    MAX_RESIDUAL,
    Quality,
    encodes_again,
    measure,
)
from crystalfw.plugins.representations.slices.decoding.rounds import graph_leverage, refine
from crystalfw.plugins.representations.slices.decoding.start import Expectation, expect, first_geometry
from crystalfw.plugins.representations.slices.graph.graph import QuotientGraph

FITTED = Path(__file__).parent.parent / "fitted"
BUDGET = 8_000_000
"""Entries of the matrix of derivatives of a batch: bounds its memory and time."""


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Bounds on the work of a decode."""

    rounds: int = 3
    """Refinement rounds with the length net at most; 0 uses the table only."""
    settled: float = 0.02
    """A crystal whose edge lengths changed by less than this share (mean) in a round gets no further round."""
    batch: int = 64
    """Crystals that are decoded together at most."""
    device: str = "cpu"
    """Where to compute, e.g. cuda."""
    reencode: bool = True
    """Also report whether the decoded crystal has the bonds of its string."""


@dataclass(frozen=True)
class Fitted:
    """The fitted parts that ship with the package."""

    table: BondTable
    net: LengthNet | None


@cache
def fitted(folder: Path = FITTED) -> Fitted:
    """The bond-length table and, if it exists, the length net of a folder; read once."""
    net = folder / "length_net.safetensors"
    return Fitted(BondTable.read(folder / "bond_table.json"), LengthNet.read(net) if net.exists() else None)


def decode_graphs(
    graphs: Sequence[QuotientGraph], config: DecoderConfig | None = None, parts: Fitted | None = None
) -> list[Decoded]:
    """One outcome per graph, in order: a crystal with quality figures, or a reason out of DECODER_REASONS.

    Quality: residual (mean relative error of edge lengths), shortest_distance (angstrom), contradiction (deviation from the
    stated lengths, in ln d), reencodes (1 or 0). Work and memory are bounded: fixed numbers of steps, batches of bounded
    size. The same graph gives the same crystal, to rounding, whatever else is in its batch.
    """
    config, parts = config or DecoderConfig(), parts or fitted()
    outcomes = [_failed(_impossible(graph) or "embedding") for graph in graphs]
    possible = [index for index, graph in enumerate(graphs) if not _impossible(graph)]
    for group in by_size([_cost(graphs[index]) for index in possible], config.batch, BUDGET):
        chosen = [possible[place] for place in group]
        decoded = _decode_batch([graphs[index] for index in chosen], config, parts)
        for index, outcome in zip(chosen, decoded, strict=True):
            outcomes[index] = outcome
    return outcomes


def _impossible(graph: QuotientGraph) -> str:
    """The reason why a graph is not tried at all, if any."""
    if graph.n_atoms > MAX_ATOMS or graph.n_edges > MAX_EDGES * graph.n_atoms:
        return "size"
    # a connected net of three independent periods has at least this many edges
    return "embedding" if graph.n_edges < graph.n_atoms + 2 else ""


def _cost(graph: QuotientGraph) -> int:
    """Entries of the matrix of derivatives, with about thirty non-bonded pairs an atom."""
    return (3 * graph.n_atoms + 6) * (graph.n_edges + 30 * graph.n_atoms)


def _failed(reason: str) -> Decoded:
    return Decoded(reason=reason, message=DECODER_REASONS[reason])


def _decode_batch(graphs: Sequence[QuotientGraph], config: DecoderConfig, parts: Fitted) -> list[Decoded]:
    with torch.no_grad():
        batch = GraphBatch.from_graphs(graphs).to(config.device)
        expectation = expect(batch, parts.table)
        geometry, usable_B = first_geometry(batch, expectation)
        wanted_E = expectation.edge
        if parts.net is not None and config.rounds > 0:
            geometry, wanted_E = rounds(parts.net.to(config.device), batch, geometry, expectation, config)
        quality = measure(batch, geometry, wanted_E, expectation.atom)
    return _outcomes(graphs, batch.to("cpu"), geometry, usable_B.tolist(), quality, config)


def rounds(
    net: LengthNet, batch: GraphBatch, geometry: Geometry, expectation: Expectation, config: DecoderConfig
) -> tuple[Geometry, Tensor]:
    """Refine all crystals once, then again those that still change, up to `config.rounds` times.

    Also returns the edge lengths (E,) in angstrom that the last round of each crystal wanted.
    """
    wanted_E = expectation.edge
    crystals = torch.arange(batch.size, device=batch.label.device)
    edges = torch.arange(len(batch.source), device=batch.label.device)
    part, place, known, leverage_E = batch, geometry, expectation, graph_leverage(batch)
    for done in range(config.rounds):
        refined, wanted = refine(net, part, place, known, leverage_E)
        geometry = geometry.put(batch, crystals, refined)
        wanted_E = wanted_E.index_put((edges,), wanted)
        again = _moved(part, place, refined) > config.settled
        if done + 1 == config.rounds or not bool(again.any()):
            break
        index, kept, atoms = again.nonzero()[:, 0], again[part.edge_crystal], again[part.crystal]
        known = Expectation(known.edge[kept], known.atom[atoms], known.weight[kept])
        leverage_E, place = leverage_E[kept], refined.select(part, index)
        part, crystals, edges = part.select(index), crystals[index], edges[kept]
    return geometry, wanted_E


def _edge_lengths(batch: GraphBatch, geometry: Geometry) -> Tensor:
    return geometry.vectors(batch.source, batch.target, geometry.label, batch.edge_crystal).norm(dim=1)


def _moved(batch: GraphBatch, before: Geometry, after: Geometry) -> Tensor:
    """(B,) mean relative change of the edge lengths."""
    old_E, new_E = _edge_lengths(batch, before), _edge_lengths(batch, after)
    change_E = (new_E / old_E.clamp_min(1e-3) - 1).abs()
    zero_B = torch.zeros(batch.size, dtype=change_E.dtype, device=change_E.device)
    count_B = zero_B.index_add(0, batch.edge_crystal, torch.ones_like(change_E)).clamp_min(1)
    return zero_B.index_add(0, batch.edge_crystal, change_E) / count_B


def _outcomes(
    graphs: Sequence[QuotientGraph],
    batch: GraphBatch,
    geometry: Geometry,
    usable: Sequence[bool],
    quality: Quality,
    config: DecoderConfig,
) -> list[Decoded]:
    lattices, frac = geometry.lattice.double().cpu().numpy(), geometry.frac.double().cpu().numpy()
    labels, edge_crystal = geometry.label.cpu().numpy(), batch.edge_crystal.numpy()
    first_edge = np.searchsorted(edge_crystal, np.arange(len(graphs) + 1))
    figures = torch.stack([quality.residual, quality.shortest, quality.contradiction], 1).tolist()
    outcomes = []
    for index, graph in enumerate(graphs):
        start = int(batch.offset[index])
        positions, lattice = frac[start : start + graph.n_atoms], lattices[index]
        residual, shortest, contradiction = figures[index]
        if not (usable[index] and np.isfinite(lattice).all() and np.isfinite(positions).all()):
            outcomes.append(_failed("embedding"))
        elif not (residual < MAX_RESIDUAL and shortest > CLOSEST):
            outcomes.append(_failed("geometry"))
        else:
            crystal = Crystal(lattice=lattice, frac_coords=positions, numbers=graph.numbers)
            values = {"residual": residual, "shortest_distance": shortest, "contradiction": contradiction}
            if config.reencode:
                shifts = labels[first_edge[index] : first_edge[index + 1]]
                values["reencodes"] = float(encodes_again(graph, lattice, positions, shifts))
            images = geometry.shift[start : start + graph.n_atoms].cpu().numpy()
            outcomes.append(Decoded(crystal, quality=values, frame=_frame(geometry.basis[index].cpu().numpy(), images)))
    return outcomes


def _frame(basis: NDArray[np.float64], images: NDArray[np.float64]) -> Frame:
    """Of a geometry's `basis` and `shift`: there the crystal's lattice is given in the string's."""
    whole = [np.rint(values).astype(int).tolist() for values in (np.linalg.inv(basis), images)]
    return Frame(*(tuple(map(tuple, rows)) for rows in whole))
