"""Symmetry kept while a crystal moves: forces and stress averaged over the operations of its space group.

Shapes: N atoms, O operations.
"""

from __future__ import annotations

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray
from crystalfw.core.crystal_forms import SYMPREC, symmetry_dataset


class Symmetriser:
    """The operations that spglib finds in a crystal (only the identity where it fails), as they act on forces and stress
    while the crystal relaxes.

    A step made from averaged forces keeps every operation: fractional rotations, and which atom goes where, stay the same.
    """

    def __init__(self, crystal: Crystal, symprec: float = SYMPREC) -> None:
        found = symmetry_dataset(crystal, symprec)
        rotations, shifts = ([np.eye(3)], np.zeros((1, 3))) if found is None else (found.rotations, found.translations)
        self.rotations_O33: FloatArray = np.asarray(rotations, dtype=np.float64)
        self.images_ON = _images(crystal, self.rotations_O33, np.asarray(shifts))

    def forces(self, forces_N3: FloatArray, lattice: FloatArray) -> FloatArray:
        """The part of the forces that keeps the symmetry."""
        turned_ON3 = np.einsum("oij,nj->oni", self._cartesian(lattice), forces_N3)
        total = np.zeros_like(forces_N3)
        for image_N, turned_N3 in zip(self.images_ON, turned_ON3, strict=True):
            total[image_N] += turned_N3
        return np.asarray(total / len(self.images_ON))

    def stress(self, stress: FloatArray, lattice: FloatArray) -> FloatArray:
        """The part of the stress that keeps the symmetry."""
        turns = self._cartesian(lattice)
        return np.asarray(np.mean(turns @ stress @ turns.transpose(0, 2, 1), axis=0))

    def _cartesian(self, lattice: FloatArray) -> FloatArray:
        """(O, 3, 3) matrices that turn Cartesian column vectors; lattice vectors are rows."""
        return np.asarray(lattice.T @ self.rotations_O33 @ np.linalg.inv(lattice.T))


def _images(crystal: Crystal, rotations_O33: FloatArray, translations_O3: FloatArray) -> np.ndarray:
    """(O, N): the atom onto which each operation puts each atom."""
    frac, numbers = crystal.frac_coords, crystal.numbers
    images = np.empty((len(rotations_O33), crystal.n_atoms), dtype=np.int64)
    for image_N, rotation, shift in zip(images, rotations_O33, translations_O3, strict=True):
        apart = (frac @ rotation.T + shift)[:, None] - frac[None]
        apart = np.linalg.norm((apart - np.rint(apart)) @ crystal.lattice, axis=-1)
        apart[numbers[:, None] != numbers[None]] = np.inf
        image_N[:] = apart.argmin(axis=1)
    return images
