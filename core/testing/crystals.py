"""Small crystals and the operations that must not matter: rotation, translation, order, basis, supercell.

Lengths are in angstrom. Shapes: N atoms.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal, lattice_from_parameters

FloatArray = NDArray[np.float64]


def small_crystals() -> list[Crystal]:
    """Rock salt, face-centred copper (one atom: only periodic images), perovskite, and a triclinic one without symmetry."""
    cubic = np.eye(3)
    half = 0.5 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    perovskite = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
    triclinic = lattice_from_parameters(np.array([4.1, 5.3, 6.2]), np.array([81.0, 97.0, 108.0]))
    sites = np.array([[0.02, 0.11, 0.07], [0.48, 0.55, 0.13], [0.31, 0.87, 0.62], [0.79, 0.29, 0.54]])
    return [
        Crystal(lattice=5.64 * half, frac_coords=[[0.0] * 3, [0.5] * 3], numbers=[11, 17], id="NaCl"),  # type: ignore[arg-type]
        Crystal(lattice=3.61 * half, frac_coords=[[0.0] * 3], numbers=[29], id="Cu"),  # type: ignore[arg-type]
        Crystal(lattice=3.905 * cubic, frac_coords=perovskite, numbers=[38, 22, 8, 8, 8], id="SrTiO3"),  # type: ignore[arg-type]
        Crystal(lattice=triclinic, frac_coords=sites, numbers=[26, 16, 16, 3], id="triclinic"),  # type: ignore[arg-type]
    ]


def rotation(seed: int = 0, improper: bool = False) -> FloatArray:
    """(3, 3) orthogonal matrix, uniform over SO(3), or its negative where improper."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    q = q * np.sign(np.linalg.det(q))
    return np.asarray(-q if improper else q, dtype=np.float64)


def rotated(crystal: Crystal, matrix: FloatArray) -> Crystal:
    """The crystal turned as a rigid body."""
    return replace(crystal, lattice=crystal.lattice @ matrix.T)


def translated(crystal: Crystal, shift: FloatArray) -> Crystal:
    """All atoms moved by one fractional vector."""
    return replace(crystal, frac_coords=crystal.frac_coords + shift)


def rewrapped(crystal: Crystal, seed: int = 0) -> Crystal:
    """Each atom replaced by one of its periodic images."""
    images = np.random.default_rng(seed).integers(-2, 3, size=(crystal.n_atoms, 3))
    return replace(crystal, frac_coords=crystal.frac_coords + images)


def permuted(crystal: Crystal, seed: int = 0) -> Crystal:
    """The atoms in another order."""
    order = np.random.default_rng(seed).permutation(crystal.n_atoms)
    return replace(crystal, frac_coords=crystal.frac_coords[order], numbers=crystal.numbers[order])


def rebased(crystal: Crystal) -> Crystal:
    """The same lattice in another basis: a unimodular integer matrix applied to the rows."""
    change = np.array([[1, 1, 0], [0, 1, -1], [0, 0, 1]])
    frac = crystal.frac_coords @ np.linalg.inv(change)
    return replace(crystal, lattice=change @ crystal.lattice, frac_coords=frac)


def doubled(crystal: Crystal) -> Crystal:
    """Two cells side by side along the first vector."""
    frac = np.concatenate([crystal.frac_coords, crystal.frac_coords + np.array([1.0, 0.0, 0.0])]) / np.array([2.0, 1.0, 1.0])
    lattice = crystal.lattice * np.array([[2.0], [1.0], [1.0]])
    return replace(crystal, lattice=lattice, frac_coords=frac, numbers=np.tile(crystal.numbers, 2))
