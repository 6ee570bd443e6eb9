"""Small crystals and samples whose metrics are known by construction."""

from __future__ import annotations

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.records import Sample


def rock_salt(a: float = 5.64, numbers: tuple[int, int] = (11, 17), id: str = "") -> Crystal:
    lattice = a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal(lattice=lattice, frac_coords=np.array([[0, 0, 0], [0.5] * 3]), numbers=np.array(numbers), id=id)


def caesium_chloride(a: float = 4.1, numbers: tuple[int, int] = (55, 17), id: str = "") -> Crystal:
    return Crystal(lattice=a * np.eye(3), frac_coords=np.array([[0, 0, 0], [0.5] * 3]), numbers=np.array(numbers), id=id)


def perovskite(a: float = 3.9, numbers: tuple[int, int, int] = (38, 22, 8), shift: float = 0.0, id: str = "") -> Crystal:
    """Cubic ABX3, B displaced along z by `shift` angstrom."""
    first, second, third = numbers
    positions = [[0, 0, 0], [0.5, 0.5, 0.5 + shift / a], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    species = np.array([first, second, third, third, third])
    return Crystal(lattice=a * np.eye(3), frac_coords=np.array(positions), numbers=species, id=id)


def moved(crystal: Crystal, seed: int = 0) -> Crystal:
    """The same crystal in another basis, with another origin, atom order and orientation."""
    rng = np.random.default_rng(seed)
    basis = np.array([[1, 1, 0], [0, 1, 0], [0, 1, 1]])
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(crystal.n_atoms)
    frac = crystal.frac_coords @ np.linalg.inv(basis) + rng.uniform(size=3)
    return Crystal(lattice=basis @ crystal.lattice @ rotation, frac_coords=frac[order], numbers=crystal.numbers[order])


def sample(id: str, crystal: Crystal | None = None, *, status: str = "ok", reason: str = "", reference_id: str = "") -> Sample:
    return Sample(id=id, seed=0, string="", status=status, reason=reason, crystal=crystal, reference_id=reference_id)
