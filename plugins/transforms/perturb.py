"""Random strain and displacements: crystals close to the given one, for augmentation or tests of robustness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import PluginError
from crystalfw.core.interfaces import Transform
from crystalfw.core.recipe.schema import Bounds


class Perturb(Transform):
    """lattice @ (1 + strain) with a symmetric Gaussian strain; atoms displaced by Gaussian vectors, isotropic in space."""

    stage: ClassVar[str] = "train"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `perturb`."""

        strain: Annotated[float, Bounds(0, 0.1)] = 0.01
        """Standard deviation of each strain component (dimensionless)."""
        displacement: Annotated[float, Bounds(0, 2)] = 0.05
        """Standard deviation of each Cartesian component of an atom's displacement, angstrom."""

    def __init__(self, config: Config) -> None:
        if not 0 <= config.strain <= 0.1 or not 0 <= config.displacement <= 2:
            raise PluginError("perturb: strain must lie in 0-0.1 and displacement in 0-2 angstrom")
        self.config = config

    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:
        """The crystal, strained and displaced; the strain is bounded at three standard deviations, so that cells stay valid."""
        draw = np.clip(rng.standard_normal((3, 3)), -3, 3) * self.config.strain
        strain = np.triu(draw) + np.triu(draw, 1).T
        moves = rng.standard_normal((crystal.n_atoms, 3)) * self.config.displacement
        frac_moves = moves @ np.linalg.inv(crystal.lattice)
        return replace(crystal, lattice=crystal.lattice @ (np.eye(3) + strain), frac_coords=crystal.frac_coords + frac_moves)
