"""Strain augmentation: the cell is sheared and stretched at random while its volume stays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crystalfw.core import Crystal, Transform


class Strain(Transform):
    """lattice @ F with F the matrix exponential of a random symmetric traceless matrix, so that det F = 1."""

    stage = "train"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the strain."""

        size: float = 0.02
        """Largest principal strain (dimensionless)."""

    def __init__(self, config: Config) -> None:
        self.size = config.size

    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:
        """A new crystal with the same fractional coordinates."""
        axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        strain = rng.uniform(-self.size, self.size, size=3)
        stretch = np.exp(strain - strain.mean())
        return replace(crystal, lattice=crystal.lattice @ (axes * stretch) @ axes.T)
