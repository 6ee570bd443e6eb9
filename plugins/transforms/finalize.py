"""The physical constraints on everything generated: lengths, angles, positions, distances.

Shapes: B crystals, N atoms of all crystals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from crystalfw.core.batch import CrystalBatch
from crystalfw.core.crystal import Crystal, lattice_from_parameters, lattice_to_parameters
from crystalfw.core.errors import DataError, PluginError, Reject
from crystalfw.core.geometry import lattice as lattices
from crystalfw.core.interfaces import Transform


class Finalize(Transform):
    """Clamp the cell to physical bounds, wrap the positions, reject crystals whose atoms overlap.

    Three entry points apply the same bounds:

    - calling it with a Crystal, as for samples. A cell within the bounds is kept to the last digit; one outside
      is clamped and rebuilt with the same fractional coordinates. Raises Reject for overlapping atoms or a flat cell;
    - `batch(batch)`: the same on batched tensors, with a mask instead of Reject;
    - `parameters(lengths, angles, frac)`: raw numbers that a network wrote, which may be negative, zero or impossible.
    """

    stage: ClassVar[str] = "finalize"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `finalize`."""

        min_length: float = 1.0
        """Shortest lattice vector, angstrom."""
        max_length: float = 50.0
        """Longest lattice vector, angstrom."""
        min_angle: float = 30.0
        """Smallest angle, degrees."""
        max_angle: float = 150.0
        """Largest angle, degrees."""
        angle_margin: float = 1.0
        """Distance in degrees from the bounds of real cells to which an impossible triple of angles is moved."""
        length_offset: float = 0.0
        """Added to every length |a| of a Crystal or CrystalBatch, angstrom. 0, because a decoded cell is valid already
        and 0.1 would enlarge its volume by about 5 %; 0.1 reproduces the rule of the original network output."""
        raw_length_offset: float = 0.1
        """Added to |a| of raw network output in `parameters`, angstrom: keeps a length positive if the network wrote 0."""
        min_distance: float = 0.5
        """Shortest distance between two atoms, periodic images included, angstrom; 0 does not check."""

    def __init__(self, config: Config) -> None:
        if not 0 < config.min_length <= config.max_length:
            raise PluginError("finalize: lengths need 0 < min_length <= max_length")
        if not 0 < config.min_angle <= 90 <= config.max_angle < 180:
            raise PluginError("finalize: angles need 0 < min_angle <= 90 <= max_angle < 180")
        self.config = config

    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:
        """The crystal within the bounds; raises Reject if atoms overlap or numbers are not finite."""
        if not np.all(np.isfinite(crystal.lattice)) or not np.all(np.isfinite(crystal.frac_coords)):
            raise Reject("not finite: lattice or positions hold NaN or infinity")
        crystal = replace(crystal, lattice=self._clamped(crystal), frac_coords=lattices.wrap(crystal.frac_coords))
        if self.config.min_distance > 0:
            try:
                distance = lattices.shortest_distance(crystal.lattice, crystal.frac_coords)
            except DataError as error:
                raise Reject(f"flat cell: {error}") from error
            if distance < self.config.min_distance:
                raise Reject(f"atoms closer than {self.config.min_distance:g} angstrom: {distance:.3f}")
        return crystal

    def _clamped(self, crystal: Crystal) -> np.ndarray:
        config, lattice = self.config, crystal.lattice
        lengths, angles = lattice_to_parameters(lattice)
        new_lengths = np.clip(np.abs(lengths) + config.length_offset, config.min_length, config.max_length)
        new_angles = np.clip(angles, config.min_angle, config.max_angle)
        share = lattices.feasible_share(new_angles, config.angle_margin)
        if share < 1 or not np.array_equal(new_angles, angles):
            rebuilt = lattice_from_parameters(new_lengths, 90 + share * (new_angles - 90))
            # parameters lose the handedness of the cell: reversing a left-handed one keeps chiral crystals as they are
            return rebuilt if np.linalg.det(lattice) >= 0 else -rebuilt
        if np.array_equal(new_lengths, lengths):
            return lattice
        return lattice * (new_lengths / lengths)[:, None]

    def parameters(self, lengths_B3: Tensor, angles_B3: Tensor, frac_N3: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Constrained lengths (B, 3), angles (B, 3) and wrapped positions (N, 3) from raw network output.

        |a| + raw_length_offset, clamped; angles clamped, then moved towards 90 degrees if no real cell has them.
        Not-finite numbers become the bounds' middle values (angles 90, lengths min_length, positions 0).
        """
        config = self.config
        lengths_B3 = torch.nan_to_num(lengths_B3.abs(), nan=0.0) + config.raw_length_offset
        lengths_B3 = lengths_B3.clamp(config.min_length, config.max_length)
        return lengths_B3, self._angles(torch.nan_to_num(angles_B3, nan=90.0)), _wrap(torch.nan_to_num(frac_N3, 0.0, 0.0, 0.0))

    def batch(self, batch: CrystalBatch) -> tuple[CrystalBatch, Tensor]:
        """The batch within the bounds and a mask (B,), False where a crystal is not finite, flat or has overlapping atoms.

        Cells within the bounds keep every digit; neighbour pairs are dropped, since cells may have changed.
        """
        config, lattice_B33 = self.config, batch.lattice
        lengths_B3, angles_B3 = lattices.lattice_to_parameters(lattice_B33)
        new_lengths_B3 = (lengths_B3 + config.length_offset).clamp(config.min_length, config.max_length)
        new_angles_B3 = self._angles(angles_B3)
        rebuilt_B33 = lattices.parameters_to_lattice(new_lengths_B3, new_angles_B3)
        rebuilt_B33 = torch.where((torch.linalg.det(lattice_B33) < 0)[:, None, None], -rebuilt_B33, rebuilt_B33)
        scaled_B33 = lattice_B33 * torch.where(new_lengths_B3 == lengths_B3, 1.0, new_lengths_B3 / lengths_B3)[..., None]
        turned_B = (new_angles_B3 != angles_B3).any(-1)
        lattice_B33 = torch.where(turned_B[:, None, None], rebuilt_B33, scaled_B33)
        done = replace(batch, lattice=lattice_B33, frac_coords=_wrap(batch.frac_coords), edges=None)
        return done, self._valid(done)

    def _angles(self, angles_B3: Tensor) -> Tensor:
        config = self.config
        angles_B3 = angles_B3.clamp(config.min_angle, config.max_angle)
        excess_B3 = angles_B3 - 90.0
        total_B1 = excess_B3.sum(-1, keepdim=True)
        room = 90.0 - config.angle_margin
        wanted_B4 = torch.cat([total_B1, 2 * excess_B3 - total_B1], dim=-1).clamp_min(room)
        share_B1 = (room / wanted_B4).amin(-1, keepdim=True)
        return torch.where(share_B1 < 1, 90.0 + share_B1 * excess_B3, angles_B3)

    def _valid(self, batch: CrystalBatch) -> Tensor:
        """(B,) bool; one crystal at a time, on the CPU, since the shortest distance needs a reduced basis."""
        valid = []
        ends = torch.cumsum(batch.n_atoms, 0).tolist()
        lattice, frac = batch.lattice.detach().double().cpu().numpy(), batch.frac_coords.detach().double().cpu().numpy()
        for cell, end, count in zip(lattice, ends, batch.n_atoms.tolist(), strict=True):
            positions = frac[end - count : end]
            try:
                sound = bool(np.isfinite(cell).all() and np.isfinite(positions).all())
                shortest = lattices.shortest_distance(cell, positions) if sound else 0.0
            except DataError:
                sound, shortest = False, 0.0
            valid.append(sound and shortest >= self.config.min_distance)
        return torch.tensor(valid, dtype=torch.bool, device=batch.lattice.device)


def _wrap(frac_N3: Tensor) -> Tensor:
    wrapped_N3 = frac_N3 - torch.floor(frac_N3)
    return torch.where(wrapped_N3 >= 1.0, torch.zeros_like(wrapped_N3), wrapped_N3)
