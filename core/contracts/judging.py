"""Who judges crystals by their energy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.contracts.component import Component
from crystalfw.core.crystal import Crystal


@dataclass(frozen=True)
class SinglePoint:
    """What a potential says of one crystal of N atoms as it stands."""

    energy: float
    """eV for the whole cell."""
    forces: NDArray[np.float64] | None = None
    """(N, 3) in eV/angstrom, minus the gradient of the energy by the Cartesian positions."""
    stress: NDArray[np.float64] | None = None
    """(3, 3), symmetric, in eV/angstrom^3: the derivative of the energy by the strain, divided by the volume. Positive
    where the crystal wants to shrink."""


class Potential(Component, ABC):
    """Crystals -> energies, forces, stresses. Constructor: `__init__(self, config)`; picklable or not, since every worker
    makes its own.

        class Springs(Potential):
            "A harmonic bond between all neighbours."
            elements = frozenset(range(1, 119))
            label = "springs 1"

            def evaluate(self, crystals: Sequence[Crystal]) -> list[SinglePoint]:
                return [self.one(crystal) for crystal in crystals]
    """

    argument: ClassVar[str] = ""
    """The option that text behind the name sets: with "calculator", `ase:EMT` means calculator=EMT. Empty: no such text."""
    elements: frozenset[int]
    """Atomic numbers that it knows; core never asks it about others. Set by the class or the constructor."""
    label: str
    """Its name and version for tables and reports, such as "CHGNet 0.3.0 (chgnet 0.4.2)". Set likewise."""
    has_forces: bool = True
    """False where it gives energies only: nothing can be relaxed with it."""
    zero: str = "atoms"
    """What has no energy: `atoms`, as in total energies of density functional theory, or `elements`, where the energy is
    the formation energy."""
    corrections: str = "unknown"
    """What was added to the energies that it was fitted to, such as "MaterialsProject2020", or "none"."""

    @abstractmethod
    def evaluate(self, crystals: Sequence[Crystal]) -> list[SinglePoint]:
        """One result per crystal, in order; the same crystal gives the same result. Energies are extensive. It may raise
        for a crystal that it cannot judge (atoms on top of each other, say); core counts that with the reason."""
