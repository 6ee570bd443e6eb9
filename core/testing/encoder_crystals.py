"""Small random crystals, their symmetric equivalents, and encoders to test them with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from e3nn import o3

from crystalfw.core import Crystal, CrystalBatch, Encoder, Memory
from crystalfw.core.discovery import registry

F64 = torch.float64


def random_crystal(seed: int, n_atoms: int) -> Crystal:
    """Positions outside of the cell too; any density from crowded to sparse."""
    rng = np.random.default_rng(seed)
    lattice = np.diag(rng.uniform(2.5, 6, 3)) + rng.uniform(-1, 1, (3, 3))
    frac_coords = rng.uniform(-1, 2, (n_atoms, 3))
    return Crystal(lattice=lattice, frac_coords=frac_coords, numbers=rng.integers(1, 90, n_atoms))


def changed(crystal: Crystal, **arrays: Any) -> Crystal:
    """The crystal with other arrays."""
    return Crystal(**{"lattice": crystal.lattice, "frac_coords": crystal.frac_coords, "numbers": crystal.numbers, **arrays})


def rotation(rng: np.random.Generator, *, improper: bool = False) -> np.ndarray:
    """A uniform random rotation, times an inversion where improper."""
    matrix, triangle = np.linalg.qr(rng.normal(size=(3, 3)))
    matrix = matrix * np.sign(np.diag(triangle))
    return matrix * np.linalg.det(matrix) * (-1 if improper else 1)


def unimodular(rng: np.random.Generator) -> np.ndarray:
    """A random integer matrix of determinant one, several shears deep."""
    matrix = np.eye(3, dtype=int)
    for _ in range(4):
        first, second = rng.permutation(3)[:2]
        matrix[first] += rng.integers(-2, 3) * matrix[second]
    return matrix


def wigner_matrix(irreps: o3.Irreps, matrix: np.ndarray) -> torch.Tensor:
    """The representation of an orthogonal matrix, from Y(R v) = D Y(v): e3nn's own way, over angles, loses half the digits."""
    v = torch.randn(64, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    blocks = []
    for channels, irrep in irreps:
        before, after = (o3.spherical_harmonics(irrep.l, x, normalize=True) for x in (v, v @ torch.as_tensor(matrix).T))
        blocks += [torch.linalg.lstsq(before, after).solution.T] * channels
    return torch.block_diag(*blocks)


def supercell(crystal: Crystal, repeats: tuple[int, int, int]) -> Crystal:
    """Image-major: atoms of the first cell, then those of the next."""
    cells = np.array(list(np.ndindex(*repeats)))
    frac_coords = (crystal.frac_coords[None] + cells[:, None]).reshape(-1, 3) / repeats
    lattice = crystal.lattice * np.array(repeats)[:, None]
    return Crystal(lattice=lattice, frac_coords=frac_coords, numbers=np.tile(crystal.numbers, len(cells)))


def make(name: str = "equivariant", seed: int = 0, **options: Any) -> Encoder:
    """An encoder through the front door, in evaluation mode."""
    torch.manual_seed(seed)
    return registry().create("encoder", name, options).eval()


def encode(encoder: Encoder, *crystals: Crystal) -> Memory:
    """Memory in float64."""
    with torch.no_grad():
        return encoder.double()(CrystalBatch.from_crystals(crystals, F64))


def deviation(first: torch.Tensor, second: torch.Tensor) -> float:
    """The largest absolute difference."""
    return float((first - second).abs().max())
