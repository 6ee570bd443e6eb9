"""A candidate as a model of its pattern: lines that move with the cell, within the candidate's lattice symmetry.

With fractional coordinates and space group kept, 1/d^2 of every reflection is linear in the free coefficients of the
reciprocal metric: q(hkl) = sum_k p_k x_k(hkl), one to six p. Reflections whose x agree coincide in every cell of the
symmetry and are one line. |F|^2 does not depend on the cell but through the slow scattering factors.
Shapes: R reflections, L lines, P free coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.crystal_forms import spglib_call
from crystalfw.core.powder.reflections import reflections

FloatArray = NDArray[np.float64]

SYMPREC = 0.1
"""Tolerance of the symmetry search in angstrom: that of the library of known crystals."""
WEAKEST = 5e-4
"""Lines weaker than this share of the strongest are left out."""
_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True, eq=False)
class CellModel:
    """The lines of one candidate as functions of its cell."""

    crystal: Crystal
    basis: FloatArray
    """(P, 3, 3) invariant reciprocal metrics; the cell's own is sum_k start_k basis_k."""
    start: FloatArray
    """(P,)."""
    features: FloatArray
    """(L, P) x of every line."""
    power: FloatArray
    """(L,) multiplicity x |F|^2."""

    def metric(self, p: FloatArray) -> FloatArray:
        """(3, 3) reciprocal metric of coefficients (P,)."""
        return np.asarray(np.tensordot(p, self.basis, 1))

    def with_cell(self, p: FloatArray) -> Crystal:
        """The candidate with the cell of coefficients (P,); a rotation of the lattice is chosen that keeps it close."""
        metric = np.linalg.inv(self.metric(p))
        lower = np.linalg.cholesky(metric)
        # rotate the new rows onto the old ones (Kabsch)
        u, _, vt = np.linalg.svd(lower.T @ self.crystal.lattice)
        return Crystal(lattice=lower @ u @ vt, frac_coords=self.crystal.frac_coords, numbers=self.crystal.numbers)


def cell_model(crystal: Crystal, q_max: float, *, stretch: float = 1.25) -> CellModel:
    """The model of a candidate; its lines reach q_max also where the cell shrinks, q by the factor `stretch`.

    Raises DataError where the crystal has no pattern.
    """
    hkl, _, power = reflections(crystal, q_max * stretch)
    keep = power > 1e-4 * power.max() if len(power) else np.zeros(0, dtype=bool)
    hkl, power = hkl[keep], power[keep]
    inverse = np.linalg.inv(crystal.lattice)
    metric = inverse.T @ inverse
    basis = _invariant(_rotations(crystal), metric)
    features = np.einsum("ri,pij,rj->rp", hkl, basis, hkl)
    features, power = _coinciding(features, power)
    start = _coefficients(basis, metric)
    q = features @ start
    # about LP x displacement: what a line is worth in a pattern; the strongest come first
    worth = power / np.maximum(q, 1e-9) * np.exp(-0.5 * q)
    order = np.argsort(-worth, kind="stable")
    order = order[worth[order] > WEAKEST * worth.max()] if len(order) else order
    return CellModel(crystal, basis, start, features[order], power[order])


def _rotations(crystal: Crystal) -> NDArray[np.int64]:
    """(G, 3, 3) rotation parts of the crystal's symmetry in its own basis."""
    found = spglib_call("get_symmetry", crystal, symprec=SYMPREC)
    if found is None:
        return np.eye(3, dtype=np.int64)[None]
    return np.unique(found["rotations"].astype(np.int64), axis=0)


def _invariant(rotations: NDArray[np.int64], metric: FloatArray) -> FloatArray:
    """(P, 3, 3) basis of the symmetric matrices M with W M W^T = M for all rotations W; the first is `metric` itself."""
    units = []
    for i, j in _PAIRS:
        unit = np.zeros((3, 3))
        unit[i, j] = unit[j, i] = 1.0
        units.append(np.mean(rotations @ unit @ rotations.transpose(0, 2, 1), axis=0))
    first = np.mean(rotations @ metric @ rotations.transpose(0, 2, 1), axis=0)
    # Gram-Schmidt in the cell's own scalar product tr(G M G N), in which a strain of one percent has one length everywhere
    direct = np.linalg.inv(metric)
    found: list[FloatArray] = []
    for candidate in (first, *units):
        rest = candidate.copy()
        for _ in range(2):
            for known in found:
                rest = rest - np.trace(direct @ rest @ direct @ known) * known
        size = np.sqrt(max(np.trace(direct @ rest @ direct @ rest), 0.0))
        if size > 1e-4 * np.sqrt(max(np.trace(direct @ candidate @ direct @ candidate), 1e-30)):
            found.append(rest / size)
    return np.array(found)


def _coefficients(basis: FloatArray, metric: FloatArray) -> FloatArray:
    """(P,) of the cell's own metric: the projections on the orthonormal basis."""
    direct = np.linalg.inv(metric)
    return np.array([np.trace(direct @ metric @ direct @ b) for b in basis])


def _coinciding(features: FloatArray, power: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lines (L, P) and summed power (L,) of reflections with equal features; none of none."""
    if not len(power):
        return features, power
    keys = np.round(features / max(np.abs(features).max(), 1e-12) * 1e7).astype(np.int64)
    _, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    total: FloatArray = np.zeros(len(first))
    np.add.at(total, place.ravel(), power)
    return features[first], total
