"""Batched Levenberg-Marquardt: moves cells and atoms until pair lengths and volumes meet their targets.

Unknowns of a crystal: the symmetric strain (6, Voigt order with tensor shears) and a displacement per atom (3 S). Every
crystal has its own damping and accepts or rejects its own steps. Normal matrices are dense and come from one bmm.

Shapes: B crystals, N atoms, P pairs, S atoms of the largest crystal, R pairs of the crystal with most, D = 6 + 3 S.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crystalfw.plugins.representations.slices.decoding.batch import Geometry, GraphBatch, rows_times
from crystalfw.plugins.representations.slices.decoding.pairs import Pairs

MAX_STRAIN, MAX_MOVE = 0.2, 0.6
"""Bounds of one step: strain, and displacement in angstrom; longer steps are scaled down."""
FIRST_DAMPING = 1e-2
_VOIGT = torch.tensor([0, 5, 4, 5, 1, 3, 4, 3, 2])


@dataclass(frozen=True)
class Targets:
    """Targets of the pairs: residual = weight (|v| - length), for a lower bound only if negative."""

    pairs: Pairs
    length: Tensor
    """(P,) wanted length, angstrom."""
    weight: Tensor
    """(P,) per angstrom."""
    floor: Tensor
    """(P,) bool: the length is a lower bound."""
    ln_volume: Tensor | None = None
    """(B,) wanted ln(volume / angstrom^3)."""
    volume_weight: Tensor | None = None
    """(B,) weight of the volume's residual."""


@dataclass(frozen=True)
class _State:
    """The residuals at one geometry."""

    geometry: Geometry
    vector: Tensor
    length: Tensor
    active_weight: Tensor
    residual: Tensor
    volume_residual: Tensor
    cost: Tensor

    def where(self, other: _State, better_B: Tensor, crystal_N: Tensor, crystal_P: Tensor) -> _State:
        """This state for crystals with `better_B`, the other for the rest."""
        better_P, better_N = better_B[crystal_P], better_B[crystal_N]
        return _State(
            replace(
                self.geometry,
                frac=torch.where(better_N[:, None], self.geometry.frac, other.geometry.frac),
                lattice=torch.where(better_B[:, None, None], self.geometry.lattice, other.geometry.lattice),
            ),
            torch.where(better_P[:, None], self.vector, other.vector),
            torch.where(better_P, self.length, other.length),
            torch.where(better_P, self.active_weight, other.active_weight),
            torch.where(better_P, self.residual, other.residual),
            torch.where(better_B, self.volume_residual, other.volume_residual),
            torch.where(better_B, self.cost, other.cost),
        )


def _evaluate(batch: GraphBatch, geometry: Geometry, targets: Targets, crystal_P: Tensor) -> _State:
    pairs = targets.pairs
    vector = geometry.vectors(pairs.source, pairs.target, pairs.label, crystal_P)
    length = vector.norm(dim=1).clamp_min(1e-3)
    residual = targets.weight * (length - targets.length)
    off = targets.floor & (residual > 0)
    residual = residual.masked_fill(off, 0.0)
    volume_residual = torch.zeros(batch.size, dtype=length.dtype, device=length.device)
    if targets.ln_volume is not None and targets.volume_weight is not None:
        ln_volume = torch.linalg.det(geometry.lattice).abs().clamp_min(1e-3).log()
        volume_residual = targets.volume_weight * (ln_volume - targets.ln_volume)
    cost = (volume_residual**2).index_add(0, crystal_P, residual**2)
    return _State(geometry, vector, length, targets.weight.masked_fill(off, 0.0), residual, volume_residual, cost)


class _Normal:
    """Builds the normal equations; the index arrays are made once per list of pairs."""

    def __init__(self, batch: GraphBatch, targets: Targets, crystal_P: Tensor) -> None:
        count_B = torch.bincount(crystal_P, minlength=batch.size)
        self.most, self.width = int(count_B.max()), 6 + 3 * batch.largest
        first_B = count_B.cumsum(0) - count_B
        self.row = crystal_P * self.most + torch.arange(len(crystal_P), device=crystal_P.device) - first_B[crystal_P]
        axes = torch.arange(3, device=crystal_P.device)
        start = self.row[:, None] * self.width + axes
        self.source = (start + 6 + 3 * batch.slot[targets.pairs.source][:, None]).flatten()
        self.target = (start + 6 + 3 * batch.slot[targets.pairs.target][:, None]).flatten()
        self.size, self.volume_weight = batch.size, targets.volume_weight

    def __call__(self, state: _State) -> tuple[Tensor, Tensor]:
        """Normal matrix (B, D, D) and gradient (B, D, 1)."""
        weight = state.active_weight[:, None]
        unit = state.vector / state.length[:, None]
        pull = (weight * unit).flatten()
        jacobian = unit.new_zeros(self.size * self.most * self.width)
        jacobian[self.target] = pull
        jacobian.index_add_(0, self.source, -pull)
        x, y, z = unit.unbind(1)
        strain = torch.stack([x * x, y * y, z * z, 2 * y * z, 2 * x * z, 2 * x * y], 1) * (weight * state.length[:, None])
        jacobian.view(-1, self.width)[self.row, :6] = strain
        jacobian_BRD = jacobian.view(self.size, self.most, self.width)
        residual = unit.new_zeros(self.size * self.most)
        residual[self.row] = state.residual
        transposed = jacobian_BRD.transpose(1, 2)
        normal = transposed @ jacobian_BRD
        gradient = transposed @ residual.view(self.size, self.most, 1)
        if self.volume_weight is not None:
            normal[:, :3, :3] += (self.volume_weight**2)[:, None, None]
            gradient[:, :3, 0] += (self.volume_weight * state.volume_residual)[:, None]
        return normal, gradient


def _moved(batch: GraphBatch, geometry: Geometry, step_BD: Tensor) -> Geometry:
    """The geometry after a step, scaled down to its bounds."""
    strain, move = step_BD[:, :6], step_BD[:, 6:].reshape(batch.size, -1, 3)
    shrink = torch.minimum(
        MAX_STRAIN / strain.abs().amax(1).clamp_min(1e-9), MAX_MOVE / move.abs().amax((1, 2)).clamp_min(1e-9)
    ).clamp_max(1.0)
    tensor = (strain * shrink[:, None])[:, _VOIGT.to(strain.device)].reshape(-1, 3, 3)
    lattice = geometry.lattice + geometry.lattice @ tensor
    cartesian = (move * shrink[:, None, None])[batch.crystal, batch.slot]
    inverse, _ = torch.linalg.inv_ex(lattice)
    return replace(geometry, frac=geometry.frac + rows_times(cartesian, inverse[batch.crystal]), lattice=lattice)


def minimise(batch: GraphBatch, geometry: Geometry, targets: Targets, steps: int) -> tuple[Geometry, Tensor]:
    """`steps` damped Gauss-Newton steps; also returns the cost (B,), the sum of squared residuals."""
    order = batch.crystal[targets.pairs.source].argsort(stable=True)
    targets = replace(
        targets,
        pairs=targets.pairs.take(order),
        length=targets.length[order],
        weight=targets.weight[order],
        floor=targets.floor[order],
    )
    crystal_P = batch.crystal[targets.pairs.source]
    equations = _Normal(batch, targets, crystal_P)
    state = _evaluate(batch, geometry, targets, crystal_P)
    damping = torch.full_like(state.cost, FIRST_DAMPING)
    for _ in range(steps):
        normal, gradient = equations(state)
        diagonal = normal.diagonal(dim1=1, dim2=2)
        # the second term holds floppy modes, whose diagonal is nearly 0
        ridge = damping[:, None] * (diagonal + 1e-2 * diagonal.amax(1, keepdim=True) + 1e-4) + 1e-6
        diagonal.add_(ridge)
        factor, info = torch.linalg.cholesky_ex(normal)
        step = -torch.cholesky_solve(gradient, factor)[:, :, 0]
        sound = (info == 0) & step.isfinite().all(1)
        step = torch.where(sound[:, None], step, torch.zeros_like(step))
        trial = _evaluate(batch, _moved(batch, state.geometry, step), targets, crystal_P)
        better = (trial.cost < state.cost) & trial.cost.isfinite()
        state = trial.where(state, better, batch.crystal, crystal_P)
        damping = torch.where(better, (damping * 0.3).clamp_min(1e-6), (damping * 5).clamp_max(1e4))
    return state.geometry, state.cost
