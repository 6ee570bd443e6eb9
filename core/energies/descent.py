"""L-BFGS over positions and cell together.

A step moves atoms by Cartesian vectors and deforms the cell by the matrix exponential of a symmetric strain, taken from
where the crystal is: the gradient by that strain is then volume times stress, without the derivative of an exponential.
A strain is measured in angstrom, by a length from a typical bulk modulus, so that one curvature fits both kinds of step.
Sources: Nocedal and Wright, Numerical Optimization (2006), algorithm 7.4, for L-BFGS; Tadmor et al., Phys. Rev. B 59, 235
(1999), for the strain as a degree of freedom.

Shapes: N atoms; a step is (N + 3, 3): atoms, then the rows of the strain.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
from scipy.linalg import expm

from crystalfw.core.crystal import Crystal, FloatArray

_CURVATURE = 70.0
"""eV/angstrom^2 before anything is known, as of a stiff bond."""
_MODULUS = 0.6
"""eV/angstrom^3, about 100 GPa."""
_LONGEST = 0.2
"""angstrom that an atom, or a strain as a length, moves at most in a step."""
_STRAIN = 0.04
"""The largest strain of one step."""
_MEMORY = 30
"""Pairs of steps and gradients that are kept: all, for cells of up to nine atoms."""


class Descent:
    """The method and its memory; `step` proposes, and learns from what the last step led to."""

    def __init__(self, start: Crystal) -> None:
        self.length = float(np.sqrt(start.volume * _MODULUS / _CURVATURE))
        """angstrom for a strain of one."""
        self._pairs: deque[tuple[FloatArray, FloatArray]] = deque(maxlen=_MEMORY)
        self._last: tuple[FloatArray, FloatArray] | None = None

    def gradient(self, crystal: Crystal, forces_N3: FloatArray, stress: FloatArray) -> FloatArray:
        """(N + 3, 3) in eV/angstrom: the gradient of the energy by a step."""
        return np.concatenate([-forces_N3, crystal.volume * stress / self.length])

    def moved(self, crystal: Crystal, step: FloatArray) -> Crystal:
        """The crystal after a step."""
        frac = crystal.frac_coords + step[:-3] @ np.linalg.inv(crystal.lattice)
        return replace(crystal, lattice=crystal.lattice @ expm(step[-3:] / self.length), frac_coords=frac)

    def step(self, gradient_S3: FloatArray) -> FloatArray:
        """The next step from here, never longer than the bounds."""
        if self._last is not None:
            step, before = self._last
            change = gradient_S3 - before
            if (step * change).sum() > 1e-3 * np.linalg.norm(step) * np.linalg.norm(change):
                self._pairs.append((step, change))
        direction = self._direction(gradient_S3)
        if (direction * gradient_S3).sum() >= 0:  # uphill: what was learned elsewhere does not hold here
            self._pairs.clear()
            direction = -gradient_S3 / _CURVATURE
        bounded = direction * self._share(direction)
        self._last = (bounded, gradient_S3)
        return bounded

    def forget(self) -> None:
        """Begin without memory: after a step that was taken back."""
        self._pairs.clear()
        self._last = None

    def _direction(self, gradient_S3: FloatArray) -> FloatArray:
        """Minus the inverse Hessian times the gradient, by the two loops of L-BFGS."""
        q, factors = gradient_S3.copy(), []
        for step, change in reversed(self._pairs):
            factor = (step * q).sum() / (step * change).sum()
            factors.append(factor)
            q -= factor * change
        q /= _CURVATURE
        for (step, change), factor in zip(self._pairs, reversed(factors), strict=True):
            q += step * (factor - (change * q).sum() / (step * change).sum())
        return -q

    def _share(self, direction: FloatArray) -> float:
        """What part of the direction may be taken."""
        longest = max(float(np.linalg.norm(direction[:-3], axis=1).max(initial=0.0)), 1e-30)
        strain = max(float(np.abs(direction[-3:]).max()) / self.length, 1e-30)
        return min(1.0, _LONGEST / longest, _STRAIN / strain)
