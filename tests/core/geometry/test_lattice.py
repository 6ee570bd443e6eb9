from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.crystal import lattice_from_parameters
from crystalfw.core.errors import DataError
from crystalfw.core.geometry.lattice import feasible_share, is_degenerate, minkowski_reduce, shortest_distance


def skewed(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A well-shaped lattice and the same lattice in a badly skewed basis."""
    rng = np.random.default_rng(seed)
    good = lattice_from_parameters(rng.uniform(2, 9, 3), rng.uniform(65, 115, 3))
    matrix = np.eye(3, dtype=np.int64)
    for _ in range(5):
        i, j = rng.choice(3, 2, replace=False)
        matrix[i] += rng.integers(-3, 4) * matrix[j]
    return good, matrix @ good


@given(st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_minkowski_cell_has_the_shortest_vectors(seed):
    _, lattice = skewed(seed)
    reduced, transform = minkowski_reduce(lattice)
    assert abs(round(float(np.linalg.det(transform)))) == 1
    np.testing.assert_allclose(transform @ lattice, reduced)
    # the definition: no combination with the later vectors shortens a vector
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    norms = np.linalg.norm(grid @ reduced, axis=1)
    for k in range(3):
        tail = np.gcd.reduce(grid[:, k:], axis=1) == 1
        assert np.linalg.norm(reduced[k]) <= norms[tail].min() * (1 + 1e-9)


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_shortest_distance_is_that_of_a_brute_search(seed):
    good, lattice = skewed(seed)
    rng = np.random.default_rng(seed + 1)
    positions = rng.random((int(rng.integers(1, 6)), 3)) @ good
    cells = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3) @ good
    vectors = positions[:, None, None] - positions[None, :, None] + cells
    distances = np.linalg.norm(vectors, axis=-1)
    expected = distances[distances > 1e-9].min()
    assert shortest_distance(lattice, positions @ np.linalg.inv(lattice)) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_flat_cells_are_told_from_small_ones(scale):
    assert not is_degenerate(np.eye(3) * scale)
    assert is_degenerate(np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 1e-9]]) * scale)
    assert is_degenerate(np.full((3, 3), np.nan))
    with pytest.raises(DataError, match="spans no volume"):
        minkowski_reduce(np.zeros((3, 3)))


@given(st.lists(st.floats(30, 150), min_size=3, max_size=3))
@settings(max_examples=200, deadline=None)
def test_drawn_angles_belong_to_a_cell_and_no_more_than_needed(angles):
    share = float(feasible_share(np.array(angles), margin=1.0))
    drawn = 90 + share * (np.array(angles) - 90)
    # raises where there is no such cell
    lattice_from_parameters(np.ones(3), drawn)
    room = min(360 - drawn.sum(), *(drawn.sum() - 2 * drawn))
    assert room >= 1 - 1e-9
    assert share == 1 or room == pytest.approx(1)
