"""Minkowski reduction of many cells at once, and the geometry carried along into the reduced cells.

Shapes: B crystals, N atoms, E edges. Source: Semaev, A 3-dimensional lattice reduction algorithm (2001), greedy form.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from crystalfw.plugins.representations.slices.decoding.batch import Geometry, GraphBatch, rows_times

MAX_PASSES = 40
_NEAR = torch.cartesian_prod(torch.arange(-1, 3), torch.arange(-1, 3))


def minkowski(lattice_B33: Tensor) -> tuple[Tensor, Tensor]:
    """Reduced right-handed rows and the unimodular matrix (float64) with reduced = matrix @ lattice.

    Stops after a fixed number of passes: a cell too skewed to be reduced by then is returned as it is. The other
    reductions (core/geometry) raise or loop per cell; here all cells of a batch take their passes together, on any device.
    """
    cell = lattice_B33.double().clone()
    basis = torch.eye(3, dtype=torch.float64, device=cell.device).expand_as(cell).clone()
    for _ in range(MAX_PASSES):
        order = (cell * cell).sum(2).argsort(dim=1, stable=True)[:, :, None].expand(-1, -1, 3)
        cell, basis = cell.gather(1, order), basis.gather(1, order)
        second = _project_once(cell)
        third_a, third_b = _closest(cell)
        # the third row is only worth reducing once the first two are
        busy = second != 0
        third_a, third_b = third_a.masked_fill(busy, 0), third_b.masked_fill(busy, 0)
        if not bool((busy | (third_a != 0) | (third_b != 0)).any()):
            break
        change = torch.eye(3, dtype=torch.float64, device=cell.device).repeat(len(cell), 1, 1)
        change[:, 1, 0], change[:, 2, 0], change[:, 2, 1] = -second, -third_a, -third_b
        cell, basis = change @ cell, change @ basis
    sign = torch.where(torch.linalg.det(cell) < 0, -1.0, 1.0).to(torch.float64)[:, None, None]
    return cell * sign, basis * sign


def _project_once(cell_B33: Tensor) -> Tensor:
    """(B,) multiple of the first row to subtract from the second; 0 if it is short enough."""
    first, second = cell_B33[:, 0], cell_B33[:, 1]
    ratio = (first * second).sum(1) / (first * first).sum(1).clamp_min(1e-12)
    return torch.where(ratio.abs() > 0.5 + 1e-6, ratio.round(), torch.zeros_like(ratio))


def _closest(cell_B33: Tensor) -> tuple[Tensor, Tensor]:
    """(B,), (B,) multiples of the first two rows whose subtraction makes the third shortest; 0, 0 if it is already."""
    plane = cell_B33[:, :2]
    gram = plane @ plane.transpose(1, 2) + 1e-12 * torch.eye(2, dtype=cell_B33.dtype, device=cell_B33.device)
    third = cell_B33[:, 2:]
    floor = torch.linalg.solve(gram, (plane @ third.transpose(1, 2)))[:, :, 0].floor()
    trial = floor[:, None] + _NEAR.to(floor)
    squares = (third - trial @ plane).square().sum(2)
    best, index = squares.min(1)
    gain = best < third[:, 0].square().sum(1) * (1 - 1e-8) - 1e-9
    chosen = trial[torch.arange(len(trial), device=trial.device), index] * gain[:, None]
    return chosen[:, 0], chosen[:, 1]


def reduced(batch: GraphBatch, geometry: Geometry) -> Geometry:
    """The same crystals in Minkowski-reduced cells with atoms wrapped into [0, 1); edge labels follow."""
    lattice, change = minkowski(geometry.lattice)
    inverse = torch.linalg.inv(change).round()
    moved = rows_times(geometry.frac.double(), inverse[batch.crystal])
    floor = moved.floor()
    label = rows_times(geometry.label.double(), inverse[batch.edge_crystal]) + floor[batch.target] - floor[batch.source]
    dtype = geometry.frac.dtype
    return replace(
        geometry,
        frac=(moved - floor).to(dtype),
        lattice=lattice.to(dtype),
        label=label.round().long(),
        basis=change @ geometry.basis,
        shift=rows_times(geometry.shift, inverse[batch.crystal]) + floor,
    )
