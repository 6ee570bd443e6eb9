"""Standard realisation: the crystal of a labelled quotient graph in closed form.

Weighted by w_e, the realisation minimises sum_e w_e |v_e|^2 at fixed cell volume, v_e = (x_j + t_e - x_i) L. The
coordinates solve the graph Laplacian; the metric is proportional to the inverse of sum_e w_e v_e v_e^T (v fractional).
Sources: Kotani and Sunada, Trans. Am. Math. Soc. 353, 1 (2001); Eon, Acta Cryst. A 67, 68 (2011).

Shapes: B crystals, N atoms, E edges, S atoms of the largest crystal.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crystalfw.plugins.representations.slices.decoding.batch import Geometry, GraphBatch, rows_times

THINNEST = 1e-7
"""Share of the largest eigenvalue below which the realisation is flat: the graph is not three-periodic."""


def standard_realisation(batch: GraphBatch, lengths_E: Tensor) -> tuple[Geometry, Tensor]:
    """The realisation with weights 1 / length^2, scaled to the lengths (E,) in angstrom; float64.

    Also returns (B,) bool: False if the graph is not connected or not three-periodic (its geometry is then a
    placeholder).
    """
    weight_E = lengths_E.double().pow(-2)
    frac_N3, connected_B = _coordinates(batch, weight_E)
    vector_E3 = frac_N3[batch.target] + batch.label.double() - frac_N3[batch.source]
    crystal_E = batch.edge_crystal
    moment_B33 = torch.zeros(batch.size, 3, 3, dtype=torch.float64, device=weight_E.device)
    moment_B33.index_add_(0, crystal_E, weight_E[:, None, None] * vector_E3[:, :, None] * vector_E3[:, None, :])
    spectrum_B3 = torch.linalg.eigvalsh(moment_B33)
    usable_B = connected_B & (spectrum_B3[:, 0] > THINNEST * spectrum_B3[:, 2]) & (spectrum_B3[:, 2] > 0)
    unit = torch.eye(3, dtype=torch.float64, device=weight_E.device)
    moment_B33 = torch.where(usable_B[:, None, None], moment_B33, unit)
    metric_B33 = torch.linalg.inv(moment_B33)
    lattice_B33 = torch.linalg.cholesky(0.5 * (metric_B33 + metric_B33.transpose(1, 2)))
    length_E = rows_times(vector_E3, lattice_B33[crystal_E]).norm(dim=1)
    wanted_E = lengths_E.double()
    zero_B = torch.zeros(batch.size, dtype=torch.float64, device=weight_E.device)
    overlap_B = zero_B.index_add(0, crystal_E, length_E * wanted_E)
    square_B = zero_B.index_add(0, crystal_E, length_E * length_E)
    scale_B = torch.where(usable_B, overlap_B / square_B.clamp_min(1e-12), torch.ones_like(zero_B))
    return start_geometry(batch, frac_N3, lattice_B33 * scale_B[:, None, None]), usable_B


def start_geometry(batch: GraphBatch, frac_N3: Tensor, lattice_B33: Tensor) -> Geometry:
    """A geometry in the basis of the string."""
    unit = torch.eye(3, dtype=torch.float64, device=frac_N3.device).repeat(batch.size, 1, 1)
    return Geometry(frac_N3, lattice_B33, batch.label, unit, torch.zeros_like(frac_N3, dtype=torch.float64))


def _coordinates(batch: GraphBatch, weight_E: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 3) barycentric coordinates with the first atom at 0, and (B,) True if the graph is connected."""
    size, largest, device = batch.size, batch.largest, weight_E.device
    laplacian = torch.zeros(size, largest, largest, dtype=torch.float64, device=device)
    load = torch.zeros(size, largest, 3, dtype=torch.float64, device=device)
    crystal_E, row_E, column_E = batch.edge_crystal, batch.slot[batch.source], batch.slot[batch.target]
    for at, to, sign in ((row_E, row_E, 1), (column_E, column_E, 1), (row_E, column_E, -1), (column_E, row_E, -1)):
        laplacian.index_put_((crystal_E, at, to), sign * weight_E, accumulate=True)
    pull_E3 = weight_E[:, None] * batch.label.double()
    load.index_put_((crystal_E, row_E), pull_E3, accumulate=True)
    load.index_put_((crystal_E, column_E), -pull_E3, accumulate=True)
    pinned = torch.ones(size, largest, dtype=torch.float64, device=device)
    pinned[batch.crystal, batch.slot] = 0.0
    pinned[:, 0] = 1.0
    factor, info_B = torch.linalg.cholesky_ex(laplacian + torch.diag_embed(pinned))
    diagonal_BS = factor.diagonal(dim1=1, dim2=2)
    connected_B = (info_B == 0) & (diagonal_BS.abs().amin(1) > 1e-5 * diagonal_BS.abs().amax(1))
    unit = torch.eye(largest, dtype=torch.float64, device=device)
    factor = torch.where(connected_B[:, None, None], factor, unit)
    solved = torch.cholesky_solve(load, factor)
    return solved[batch.crystal, batch.slot], connected_B


def leverage(batch: GraphBatch) -> Tensor:
    """(E,) how much the net depends on each edge: 1 if its removal disconnects the graph or loses a period.

    The diagonal of the hat matrix of the rows [atom j - atom i | t]; it sums to n_atoms + 2 over a usable graph.
    """
    width, device = batch.largest + 3, batch.label.device
    rows_ED = torch.zeros(len(batch.source), width, dtype=torch.float64, device=device)
    edge = torch.arange(len(rows_ED), device=device)
    rows_ED[edge, batch.slot[batch.target]] = 1.0
    rows_ED[edge, batch.slot[batch.source]] -= 1.0
    rows_ED[:, -3:] = batch.label.double()
    count_B = torch.bincount(batch.edge_crystal, minlength=batch.size)
    order = batch.edge_crystal.argsort(stable=True)
    crystal_E = batch.edge_crystal[order]
    rank_E = edge - (count_B.cumsum(0) - count_B)[crystal_E]
    padded = torch.zeros(batch.size, int(count_B.max()), width, dtype=torch.float64, device=device)
    padded[crystal_E, rank_E] = rows_ED[order]
    anchor = torch.full((batch.size, width), 1e-6, dtype=torch.float64, device=device)
    anchor[:, 0] = 1.0
    normal = padded.transpose(1, 2) @ padded + torch.diag_embed(anchor)
    solved, _ = torch.linalg.solve_ex(normal, padded.transpose(1, 2))
    hat_BR = (padded * solved.transpose(1, 2)).sum(2)
    result = torch.zeros(len(edge), dtype=torch.float64, device=device)
    result[order] = hat_BR[crystal_E, rank_E]
    return result.clamp(0.0, 1.0)
