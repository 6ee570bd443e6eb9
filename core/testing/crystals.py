"""Small and random crystals, the operations that must not matter (rotation, translation, order, basis, supercell), and
encoders to try them with.

Lengths are in angstrom. Shapes: N atoms.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from crystalfw.core.batch import CrystalBatch, Memory
from crystalfw.core.crystal import Crystal, lattice_from_parameters
from crystalfw.core.interfaces import Encoder
from crystalfw.core.recipe.options import create

if TYPE_CHECKING:
    from e3nn import o3

F64 = torch.float64

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


def rotation(seed: int | np.random.Generator = 0, improper: bool = False) -> FloatArray:
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


def supercell(crystal: Crystal, repeats: tuple[int, int, int]) -> Crystal:
    """Image-major: atoms of the first cell, then those of the next."""
    cells = np.array(list(np.ndindex(*repeats)))
    frac_coords = (crystal.frac_coords[None] + cells[:, None]).reshape(-1, 3) / repeats
    lattice = crystal.lattice * np.array(repeats)[:, None]
    return replace(crystal, lattice=lattice, frac_coords=frac_coords, numbers=np.tile(crystal.numbers, len(cells)))


def doubled(crystal: Crystal) -> Crystal:
    """Two cells side by side along the first vector."""
    return supercell(crystal, (2, 1, 1))


def random_crystal(seed: int, n_atoms: int) -> Crystal:
    """Positions outside of the cell too; any density from crowded to sparse."""
    rng = np.random.default_rng(seed)
    lattice = np.diag(rng.uniform(2.5, 6, 3)) + rng.uniform(-1, 1, (3, 3))
    frac_coords = rng.uniform(-1, 2, (n_atoms, 3))
    return Crystal(lattice=lattice, frac_coords=frac_coords, numbers=rng.integers(1, 90, n_atoms))


def changed(crystal: Crystal, **arrays: Any) -> Crystal:
    """The crystal with other arrays."""
    return Crystal(**{"lattice": crystal.lattice, "frac_coords": crystal.frac_coords, "numbers": crystal.numbers, **arrays})


def unimodular(rng: np.random.Generator) -> np.ndarray:
    """A random integer matrix of determinant one, several shears deep."""
    matrix = np.eye(3, dtype=int)
    for _ in range(4):
        first, second = rng.permutation(3)[:2]
        matrix[first] += rng.integers(-2, 3) * matrix[second]
    return matrix


def wigner_matrix(irreps: o3.Irreps, matrix: np.ndarray) -> torch.Tensor:
    """The representation of an orthogonal matrix, from Y(R v) = D Y(v): e3nn's own way, over angles, loses half the digits."""
    from e3nn import o3

    v = torch.randn(64, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    blocks = []
    for channels, irrep in irreps:
        before, after = (o3.spherical_harmonics(irrep.l, x, normalize=True) for x in (v, v @ torch.as_tensor(matrix).T))
        blocks += [torch.linalg.lstsq(before, after).solution.T] * channels
    return torch.block_diag(*blocks)


def make(name: str = "equivariant", seed: int = 0, **options: Any) -> Encoder:
    """An encoder through the front door, in evaluation mode."""
    torch.manual_seed(seed)
    return create("encoder", name, options).eval()


def encode(encoder: Encoder, *crystals: Crystal) -> Memory:
    """Memory in float64."""
    with torch.no_grad():
        return encoder.double()(CrystalBatch.from_crystals(crystals, F64))


def deviation(first: torch.Tensor, second: torch.Tensor) -> float:
    """The largest absolute difference."""
    return float((first - second).abs().max())
