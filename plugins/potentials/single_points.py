"""What a calculator of ASE says of crystals, as `SinglePoint`s; ASE's units are ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import SinglePoint


def single_points(calculator: Any, crystals: Sequence[Crystal]) -> list[SinglePoint]:
    """One result per crystal. Forces and stress are None where the calculator does not have them."""
    return [_single_point(calculator, crystal) for crystal in crystals]


def _single_point(calculator: Any, crystal: Crystal) -> SinglePoint:
    atoms = crystal.atoms
    atoms.wrap()  # some neighbour searches expect atoms inside of the cell
    atoms.calc = calculator
    offered = calculator.implemented_properties
    energy = float(atoms.get_potential_energy())
    forces = np.asarray(atoms.get_forces(), dtype=np.float64) if "forces" in offered else None
    stress = np.asarray(atoms.get_stress(voigt=False), dtype=np.float64) if "stress" in offered else None
    return SinglePoint(energy, forces, stress)
