"""Small crystals of known structure, and random ones."""

from __future__ import annotations

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal

FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


def _crystal(lattice: object, numbers: list[int], frac: object, name: str) -> Crystal:
    lattice = np.array(lattice, dtype=float)
    return Crystal(lattice=lattice, numbers=np.array(numbers), frac_coords=np.array(frac, dtype=float), id=name)


def _hexagonal(a: float, c: float) -> list[list[float]]:
    return [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]]


KNOWN = {
    crystal.id: crystal
    for crystal in (
        _crystal(3.61 * FCC, [29], [[0, 0, 0]], "copper"),
        _crystal(5.64 * FCC, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]], "rock_salt"),
        _crystal(4.12 * np.eye(3), [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]], "caesium_chloride"),
        _crystal(3.57 * FCC, [6, 6], [[0, 0, 0], [0.25, 0.25, 0.25]], "diamond"),
        _crystal(
            _hexagonal(2.52, 4.12), [6] * 4,
            [[1 / 3, 2 / 3, 0.0625], [2 / 3, 1 / 3, 0.5625], [1 / 3, 2 / 3, 0.4375], [2 / 3, 1 / 3, 0.9375]], "lonsdaleite",
        ),
        _crystal(
            _hexagonal(2.46, 6.71), [6] * 4,
            [[0, 0, 0.25], [0, 0, 0.75], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]], "graphite",
        ),
        _crystal(
            3.905 * np.eye(3), [38, 22, 8, 8, 8],
            [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], "perovskite",
        ),
        _crystal(5.0 * np.eye(3), [7, 7], [[0, 0, 0], [0.127, 0.127, 0.127]], "nitrogen"),
        _crystal(
            [[4.59, 0, 0], [0, 4.59, 0], [0, 0, 2.96]], [22, 22, 8, 8, 8, 8],
            [[0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0], [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]],
            "rutile",
        ),
        _crystal([[3.2, 0, 0], [0.3, 3.5, 0], [0.2, 0.5, 14.0]], [16, 17], [[0.1, 0.2, 0.1], [0.6, 0.6, 0.4]], "skewed_layers"),
    )
}  # fmt: skip


def random_crystal(seed: int, n_atoms: int) -> Crystal:
    """Atoms at random, no two closer than 1.5 angstrom, in a random cell of 15 cubic angstrom an atom."""
    rng = np.random.default_rng(seed)
    while True:
        lattice = rng.normal(size=(3, 3))
        volume = abs(np.linalg.det(lattice))
        lattice *= (15.0 * n_atoms / max(volume, 1e-9)) ** (1 / 3)
        if volume < 0.5 or np.linalg.norm(lattice, axis=1).max() > 20:
            continue
        frac = rng.random((n_atoms, 3))
        cells = np.array([[a, b, c] for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)])
        offsets = frac[None, None] - frac[None, :, None] + cells[:, None, None]
        distances = np.linalg.norm(offsets @ lattice, axis=-1)
        if np.sort(distances.ravel())[n_atoms] > 1.5:
            return Crystal(lattice=lattice, frac_coords=frac, numbers=rng.choice([1, 8, 11, 22, 57], size=n_atoms))


def another_description(crystal: Crystal, seed: int) -> Crystal:
    """The same crystal with other order, basis, origin, orientation and handedness."""
    rng = np.random.default_rng(seed)
    basis = np.eye(3)
    for _ in range(5):
        to, by = rng.permutation(3)[:2]
        basis[to] += rng.integers(-2, 3) * basis[by]
    basis = rng.choice([-1.0, 1.0], size=(3, 1)) * basis[rng.permutation(3)]
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    frac = crystal.frac_coords @ np.linalg.inv(basis) + rng.random(3)
    order = rng.permutation(crystal.n_atoms)
    return Crystal(lattice=basis @ crystal.lattice @ rotation, frac_coords=frac[order], numbers=crystal.numbers[order])


@pytest.fixture(params=sorted(KNOWN))
def known(request: pytest.FixtureRequest) -> Crystal:
    return KNOWN[request.param]


@pytest.fixture(scope="session")
def library() -> dict[str, Crystal]:
    return dict(KNOWN)


@pytest.fixture(scope="session")
def make_random() -> object:
    return random_crystal


@pytest.fixture(scope="session")
def redescribe() -> object:
    return another_description
