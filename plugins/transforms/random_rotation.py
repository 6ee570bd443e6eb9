"""Random orientation in space, uniform over SO(3) or O(3): augmentation for models that are not rotation-invariant by
design."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Transform


class RandomRotation(Transform):
    """lattice @ R.T with R drawn from the Haar measure; fractional coordinates and neighbours stay as they are."""

    stage: ClassVar[str] = "train"
    keeps_edges: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `random_rotation`."""

        improper: bool = False
        """True draws from O(3): half of the operations are reflections or rotoinversions, which mirror the crystal."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:
        """The crystal, rotated."""
        rotation = random_orthogonal(rng, improper=self.config.improper)
        return replace(crystal, lattice=crystal.lattice @ rotation.T)


def random_orthogonal(rng: np.random.Generator, *, improper: bool) -> NDArray[np.float64]:
    """(3, 3) rotation from a uniform unit quaternion (Shoemake 1992), times -1 in half of the cases if `improper`."""
    w, x, y, z = _unit(rng.standard_normal(4))
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    return -rotation if improper and rng.random() < 0.5 else rotation


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))
