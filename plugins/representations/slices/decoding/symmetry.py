"""Symmetrising a decoded crystal: cell and positions averaged over the operations that spglib finds.

Shapes: N atoms, S symmetry operations.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal

TOLERANCES = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5)
"""Angstrom; tried in this order if a space group is requested."""


def symmetrised(crystal: Crystal, tolerance: float = 0.1) -> Crystal:
    """The crystal with the symmetry that spglib finds within `tolerance` angstrom; unchanged if it finds none."""
    dataset = _dataset(crystal, tolerance)
    if dataset is None:
        return crystal
    return averaged(crystal, np.asarray(dataset.rotations), np.asarray(dataset.translations))


def with_space_group(crystal: Crystal, number: int) -> tuple[Crystal, bool]:
    """Symmetrised at the smallest tolerance that gives space group `number`, and True; otherwise unchanged, and False."""
    for tolerance in TOLERANCES:
        dataset = _dataset(crystal, tolerance)
        if dataset is not None and dataset.number == number:
            return averaged(crystal, np.asarray(dataset.rotations), np.asarray(dataset.translations)), True
    return crystal, False


def _dataset(crystal: Crystal, tolerance: float) -> Any:
    """spglib's symmetry data set; None if it finds none (newer releases also warn that they will raise in future)."""
    import spglib

    cell = (crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.numbers.tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return spglib.get_symmetry_dataset(cell, symprec=tolerance)


def averaged(crystal: Crystal, rotations_S33: NDArray[np.int64], translations_S3: NDArray[np.float64]) -> Crystal:
    """Metric and positions averaged over the operations x -> R x + t, which must map the crystal onto itself nearly."""
    metric = crystal.lattice @ crystal.lattice.T
    metric = np.einsum("sji,jk,skl->il", rotations_S33, metric, rotations_S33) / len(rotations_S33)
    lattice = np.linalg.cholesky(metric)
    if np.linalg.det(crystal.lattice) < 0:
        lattice[2] = -lattice[2]
    frac, numbers = crystal.frac_coords, crystal.numbers
    total = np.zeros_like(frac)
    for rotation, translation in zip(rotations_S33, translations_S3, strict=True):
        image = frac @ rotation.T + translation
        step = image[:, None] - frac[None]
        step -= np.rint(step)
        far = np.einsum("ijk,kl,ijl->ij", step, metric, step)
        far[numbers[:, None] != numbers[None]] = np.inf
        target = far.argmin(1)
        # image i falls on atom target[i]: the remaining step is where this operation would place the atom
        np.add.at(total, target, step[np.arange(len(frac)), target])
    return replace(crystal, lattice=lattice, frac_coords=frac + total / len(rotations_S33))
