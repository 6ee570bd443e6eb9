"""Disturbs computed powder lines as a measurement does, anew in every epoch: shift, intensities, missing and foreign lines.

The default sizes were set by hand after a few measured patterns (benchmarks/powder.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Transform
from crystalfw.core.powder.line_table import ARRAY, LIMITS, WAVELENGTH, line_array
from crystalfw.core.recipe.schema import Bounds


class PowderMeasurement(Transform):
    """Zero shift, sample displacement, texture, noise, widths, weak lines lost, impurity lines; no lines, no change."""

    stage: ClassVar[str] = "train"
    keeps_edges: ClassVar[bool] = True
    commutes_with_rotation: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `powder_measurement`."""

        zero: Annotated[float, Bounds(0, 1)] = 0.04
        """Standard deviation of the zero shift, degrees of two theta."""
        displacement: Annotated[float, Bounds(0, 1)] = 0.02
        """Standard deviation of the shift by the sample's height, degrees; times cos(theta)."""
        position: Annotated[float, Bounds(0, 1)] = 0.01
        """Standard deviation of each line's position, degrees."""
        texture: Annotated[float, Bounds(0, 3)] = 0.4
        """Standard deviation of the logarithm of each intensity: preferred orientation, and what else the model lacks."""
        width: Annotated[float, Bounds(0.01, 2)] = 0.13
        """Median full width of the lines, degrees; each pattern's differs by a factor of about 1.5."""
        lost: Annotated[float, Bounds(0, 0.5)] = 0.02
        """Median intensity, relative to the strongest line, below which lines are lost in the noise."""
        impurity: Annotated[float, Bounds(0, 1)] = 0.15
        """Share of patterns with one to four lines of another phase."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:
        """The crystal with disturbed lines."""
        if ARRAY not in crystal.arrays:
            return replace(crystal)
        table = np.asarray(crystal.arrays[ARRAY], dtype=np.float64)
        table = table[np.isfinite(table[:, 0])]
        disturbed = self._disturbed(table, rng) if len(table) else line_array(*np.zeros((3, 0)))
        return replace(crystal, arrays=MappingProxyType({**crystal.arrays, ARRAY: disturbed}))

    def _disturbed(self, table: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
        config = self.config
        intensity = table[:, 1] * np.exp(config.texture * rng.standard_normal(len(table)))
        floor = config.lost * np.exp(0.7 * rng.standard_normal())
        keep = intensity > floor * intensity.max()
        angle = 2 * np.rad2deg(np.arcsin(np.minimum(WAVELENGTH / 2 / table[keep, 0], 1)))
        intensity = intensity[keep]
        if rng.random() < config.impurity:
            count = int(rng.integers(1, 5))
            angle = np.concatenate([angle, rng.uniform(15, 60, count)])
            intensity = np.concatenate([intensity, intensity.max() * rng.uniform(0.02, 0.2, count)])
        shift = config.zero * rng.standard_normal() + config.displacement * rng.standard_normal() * np.cos(
            np.deg2rad(angle / 2)
        )
        angle = np.clip(angle + shift + config.position * rng.standard_normal(len(angle)), LIMITS[0] - 1, LIMITS[1] + 2)
        width = config.width * np.exp(0.4 * rng.standard_normal()) * (1 + 0.1 * rng.standard_normal(len(angle)))
        d = WAVELENGTH / 2 / np.sin(np.deg2rad(angle / 2))
        return line_array(d, intensity, np.maximum(width, 0.02))
