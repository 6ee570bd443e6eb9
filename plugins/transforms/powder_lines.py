"""The powder lines of each crystal, computed once: the array `powder` that the encoder `diffraction` reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, ClassVar

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError, Reject
from crystalfw.core.interfaces import Transform
from crystalfw.core.powder.line_table import ARRAY, computed_lines
from crystalfw.core.recipe.schema import Bounds


class PowderLines(Transform):
    """arrays['powder']: (48, 3) d, intensity, width of the strongest lines to 90 degrees of Cu K-alpha."""

    stage: ClassVar[str] = "prepare"
    keeps_edges: ClassVar[bool] = True
    commutes_with_rotation: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `powder_lines`."""

        merge: Annotated[float, Bounds(0, 2)] = 0.1
        """Lines closer than this in two theta are one line, degrees."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:
        """The crystal with its lines; nothing is random. Raises Reject where it has no pattern."""
        try:
            lines = computed_lines(crystal, merge=self.config.merge)
        except DataError as error:
            raise Reject(f"no powder pattern: {error}") from error
        return replace(crystal, arrays=MappingProxyType({**crystal.arrays, ARRAY: lines}))
