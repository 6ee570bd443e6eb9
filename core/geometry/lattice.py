"""Lattice arithmetic: reduced bases, angles that a real cell can have, shortest distances; and parameters in torch.

Lattices are rows (..., 3, 3), angstrom; angles alpha, beta, gamma in degrees. Shapes: B crystals, N atoms, G grid cells.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_IMAGES_G3 = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=np.float64)
_BLOCK = 1_000_000


def is_degenerate(lattice: FloatArray) -> bool:
    """True if rows are not finite or span almost no volume (below 1e-6 of a rectangular cell's)."""
    if not np.all(np.isfinite(lattice)):
        return True
    box = float(np.prod(np.linalg.norm(lattice, axis=-1)))
    return box == 0 or abs(float(np.linalg.det(lattice))) < 1e-6 * box


def minkowski_reduce(lattice: FloatArray) -> tuple[FloatArray, IntArray]:
    """Minkowski-reduced rows and the integer matrix M (det 1 or -1) with reduced = M @ lattice.

    Greedy reduction in three dimensions: Semaev (2001), Nguyen & Stehle (2009). Raises DataError for a flat cell. Lengths
    that agree to 1e-9 angstrom keep their order, so that a rotated crystal gets the same basis; prepared data depends on
    this. See compiled_reduction.py for compiled code.
    """
    lattice = np.asarray(lattice, dtype=np.float64)
    if is_degenerate(lattice):
        raise DataError(f"the lattice {lattice.tolist()} spans no volume")
    transform = np.eye(3, dtype=np.int64)
    for _ in range(1000):
        transform = transform[_by_length(transform @ lattice)]
        transform[:2] = _gauss_reduce(transform[:2], lattice)
        rows = transform @ lattice
        third = transform[2] - _closest(rows[:2], rows[2]) @ transform[:2]
        if np.linalg.norm(third @ lattice) >= np.linalg.norm(rows[2]) * (1 - 1e-12):
            ordered = transform[_by_length(rows)]
            return ordered @ lattice, ordered
        transform[2] = third
    raise DataError(f"the lattice {lattice.tolist()} is too skewed to be reduced")


def _by_length(rows: FloatArray) -> IntArray:
    # rounding before sorting: equal lengths keep their order in spite of the last digit
    return np.argsort(np.round(np.linalg.norm(rows, axis=1), 9), kind="stable")


def _gauss_reduce(pair: IntArray, lattice: FloatArray) -> IntArray:
    """Reduce two integer rows so that neither is shortened by a multiple of the other (Lagrange, Gauss)."""
    pair = pair.copy()
    for _ in range(1000):
        u, v = pair @ lattice
        if np.dot(v, v) < np.dot(u, u) * (1 - 1e-12):
            pair = pair[::-1].copy()
            u, v = v, u
        multiple = int(np.round(np.dot(u, v) / np.dot(u, u)))
        shorter = v - multiple * u
        if np.dot(shorter, shorter) >= np.dot(v, v) * (1 - 1e-12):
            return pair
        pair[1] -= multiple * pair[0]
    raise DataError("the lattice is too skewed to be reduced")


def _closest(plane: FloatArray, point: FloatArray) -> IntArray:
    """Integer coefficients (2,) of the lattice point of `plane` (2, 3) closest to `point` (3,)."""
    start = np.round(np.linalg.lstsq(plane.T, point, rcond=None)[0]).astype(np.int64)
    candidates = start + np.array(list(itertools.product((0, -1, 1), repeat=2)), dtype=np.int64)
    distances = np.linalg.norm(point - candidates @ plane, axis=1)
    return np.asarray(candidates[int(np.argmin(np.round(distances, 9)))])


def reduce_pairs(lattice: FloatArray) -> FloatArray:
    """Unimodular (3, 3) such that transform @ lattice is reduced in pairs (Lagrange-Gauss, repeated).

    Weaker than `minkowski_reduce`, several times faster, and without errors; it suffices for a neighbour search.
    """
    transform = np.eye(3)
    while True:
        rows = transform @ lattice
        gram = rows @ rows.T
        steps = np.rint(gram / np.diag(gram)[None, :])
        # only the longer of two vectors is shortened, and only strictly: the loop ends
        steps[(np.diag(gram)[:, None] < np.diag(gram)[None, :]) | np.eye(3, dtype=bool)] = 0
        gain = 2 * steps * gram - steps**2 * np.diag(gram)[None, :]
        longer, shorter = np.unravel_index(np.argmax(gain), (3, 3))
        if gain[longer, shorter] <= 1e-9 * gram[longer, longer]:
            return transform
        transform[longer] -= steps[longer, shorter] * transform[shorter]


def wrap(frac: FloatArray) -> FloatArray:
    """Fractional coordinates in [0, 1), also for -1e-20, whose remainder rounds to 1."""
    wrapped = np.asarray(frac - np.floor(frac))
    return np.where(wrapped >= 1.0, 0.0, wrapped)


def shortest_distance(lattice: FloatArray, frac_N3: FloatArray) -> float:
    """Shortest distance in angstrom between two atoms or an atom and its own periodic image; raises DataError if flat.

    In a Minkowski-reduced basis the 27 nearest cells of wrapped differences suffice.
    """
    reduced, transform = minkowski_reduce(lattice)
    frac = np.asarray(frac_N3 @ np.linalg.inv(transform.astype(np.float64)))
    shifts_G3 = _IMAGES_G3 @ reduced
    best = float(np.linalg.norm(reduced[0]))
    rows = max(1, _BLOCK // (27 * max(1, len(frac))))
    for start in range(0, len(frac), rows):
        difference = frac[start : start + rows, None] - frac[None]
        vectors = (difference - np.round(difference)) @ reduced
        squared = np.sum((vectors[:, :, None] + shifts_G3) ** 2, axis=-1)
        # an atom and itself: its images are the lattice vectors, already counted
        own = np.arange(start, min(start + rows, len(frac)))
        squared[own - start, own] = np.inf
        best = min(best, float(np.sqrt(squared.min(initial=np.inf))))
    return best


def feasible_share(angles: FloatArray, margin: float = 1.0) -> FloatArray:
    """Largest t (...) in [0, 1] for which 90 + t (angles - 90) are angles of a real cell.

    Three angles belong to a cell where their sum is below 360 and each is below the sum of the others (the triangle
    inequality on the sphere); `margin` degrees are kept from these bounds, so that the cell is not flat.
    """
    excess = np.asarray(angles, dtype=np.float64) - 90.0
    total = excess.sum(-1)
    # at 90, 90, 90 the sums are 270 and -90: the distance to the bound, and how much of it these angles take
    wanted = np.stack([total, *(2 * excess[..., k] - total for k in range(3))], axis=-1)
    return np.asarray(np.min((90.0 - margin) / np.maximum(wanted, 90.0 - margin), axis=-1))


def parameters_to_lattice(lengths: Tensor, angles: Tensor) -> Tensor:
    """Lattice rows (B, 3, 3) from lengths (B, 3) and angles (B, 3), differentiable; a along x, b in the xy plane.

    The angles must be those of a real cell (see `feasible_share`); otherwise rows hold NaN. For single crystals without
    gradients there is `crystal.lattice_from_parameters`: it needs no torch and refuses impossible cells.
    """
    import torch

    cos, sin_g = torch.cos(torch.deg2rad(angles)), torch.sin(torch.deg2rad(angles[..., 2]))
    cos_a, cos_b, cos_g = cos.unbind(-1)
    c_y = (cos_a - cos_b * cos_g) / sin_g
    c_z = torch.sqrt(1 - cos_b**2 - c_y**2)
    zero, one = torch.zeros_like(cos_a), torch.ones_like(cos_a)
    directions = torch.stack([one, zero, zero, cos_g, sin_g, zero, cos_b, c_y, c_z], -1)
    return lengths[..., :, None] * directions.unflatten(-1, (3, 3))


def lattice_to_parameters(lattice: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths (B, 3) and angles (B, 3) of lattice rows (B, 3, 3), differentiable, full precision at every angle.

    The same formula as `crystal.lattice_to_parameters`, which needs no torch; last digits may differ.
    """
    import torch

    lengths = torch.linalg.vector_norm(lattice, dim=-1)
    u, v = lattice[..., [1, 0, 0], :], lattice[..., [2, 2, 1], :]
    cross = torch.linalg.vector_norm(torch.linalg.cross(u, v, dim=-1), dim=-1)
    return lengths, torch.rad2deg(torch.atan2(cross, (u * v).sum(-1)))
