"""Wraps fractional coordinates into [0, 1).

A choice of representative, not an invariance: networks must not depend on it (they see periodic vectors only).
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.geometry.lattice import wrap
from crystalfw.core.interfaces import NoOptions, Transform


class NormalizePositions(Transform):
    """frac - floor(frac): the same crystal, every atom listed inside the cell."""

    commutes_with_rotation: ClassVar[bool] = True

    def __init__(self, config: NoOptions) -> None:
        self.config = config

    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:
        """The crystal with fractional coordinates in [0, 1)."""
        return replace(crystal, frac_coords=wrap(crystal.frac_coords))
