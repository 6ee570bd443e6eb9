"""Neighbour pairs against brute force over images, for any cell, and the errors on what is no crystal."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core import Crystal, CrystalBatch, DataError
from crystalfw.core.batch import edge_vectors, neighbour_edges
from crystalfw.core.geometry.neighbours import neighbour_arrays

CUTOFF = 4.0


def random_crystal(seed: int, n_atoms: int, *, skew: int = 0) -> Crystal:
    """A cell of 3 to 6 angstrom; `skew` adds integer multiples of one lattice vector to another."""
    rng = np.random.default_rng(seed)
    lattice = np.diag(rng.uniform(3, 6, 3)) + rng.uniform(-0.6, 0.6, (3, 3))
    basis = np.eye(3)
    for first, second in ((0, 1), (1, 2), (2, 0)):
        basis[first] += rng.integers(-skew, skew + 1) * basis[second]
    frac_coords = rng.uniform(-2, 2, (n_atoms, 3))
    return Crystal(lattice=basis @ lattice, frac_coords=frac_coords, numbers=rng.integers(1, 90, n_atoms))


def brute_force(crystal: Crystal, cutoff: float) -> set[tuple[int, ...]]:
    """(source, target, shift) of every image in a box that surely holds the sphere."""
    heights = 1 / np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0)
    reach = np.ceil(cutoff / heights + np.ptp(crystal.frac_coords, axis=0)).astype(int)
    found = set()
    for shift in itertools.product(*(range(-n, n + 1) for n in reach)):
        vectors = crystal.frac_coords[None] - crystal.frac_coords[:, None] + np.array(shift)
        near = np.linalg.norm(vectors @ crystal.lattice, axis=-1) < cutoff
        found |= {(j, i, *shift) for i, j in np.argwhere(near).tolist() if i != j or any(shift)}
    return found


def as_set(source: np.ndarray, target: np.ndarray, shift: np.ndarray) -> set[tuple[int, ...]]:
    rows = [tuple(row) for row in np.column_stack([source, target, shift]).tolist()]
    assert len(set(rows)) == len(rows), "a pair is listed twice"
    return set(rows)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n_atoms=st.integers(1, 4), skew=st.integers(0, 3))
def test_equals_brute_force(seed: int, n_atoms: int, skew: int) -> None:
    crystal = random_crystal(seed, n_atoms, skew=skew)
    assert as_set(*neighbour_arrays(crystal, CUTOFF)) == brute_force(crystal, CUTOFF)


def test_every_pair_is_listed_both_ways() -> None:
    found = as_set(*neighbour_arrays(random_crystal(3, 4), CUTOFF))
    assert found == {(i, j, -x, -y, -z) for j, i, x, y, z in found}


def test_one_atom_in_a_needle_cell_sees_its_own_images() -> None:
    crystal = Crystal(lattice=np.diag([1.5, 40.0, 40.0]), frac_coords=np.zeros((1, 3)), numbers=np.array([6]))
    _, _, shift = neighbour_arrays(crystal, CUTOFF)
    assert sorted(shift[:, 0].tolist()) == [-2, -1, 1, 2]


def test_an_isolated_atom_has_no_neighbours() -> None:
    crystal = Crystal(lattice=np.eye(3) * 20, frac_coords=np.zeros((1, 3)), numbers=np.array([6]))
    source, target, shift = neighbour_arrays(crystal, CUTOFF)
    assert (source.shape, target.shape, shift.shape) == ((0,), (0,), (0, 3))


def test_a_very_skewed_basis_costs_no_more_than_the_reduced_one() -> None:
    skewed = Crystal(lattice=[[3, 0, 0], [3000, 3, 0], [0, 9000, 3]], frac_coords=np.zeros((1, 3)), numbers=[6])
    start = time.process_time()
    source, _, shift = neighbour_arrays(skewed, 5.0)
    assert time.process_time() - start < 1.0, "the images of the skewed basis were walked one by one"
    assert len(source) == 18
    assert np.linalg.norm(shift @ skewed.lattice, axis=1).max() < 5.0


def test_a_batch_lists_crystals_in_order_with_their_own_atoms() -> None:
    crystals = [random_crystal(seed, n) for seed, n in ((1, 3), (2, 1), (3, 2))]
    batch = CrystalBatch.from_crystals(crystals, torch.float64)
    edges = neighbour_edges(batch, CUTOFF)
    crystal_E = batch.crystal_index[edges.target]
    assert torch.equal(crystal_E, batch.crystal_index[edges.source])
    assert torch.equal(crystal_E, crystal_E.sort().values)
    for index, (crystal, offset) in enumerate(zip(crystals, (0, 3, 4), strict=True)):
        mine = crystal_E == index
        columns = (edges.source[mine] - offset, edges.target[mine] - offset, edges.shift[mine])
        assert as_set(*(column.numpy() for column in columns)) == brute_force(crystal, CUTOFF)


def test_vectors_carry_gradients_to_positions_and_lattice() -> None:
    batch = CrystalBatch.from_crystals([random_crystal(5, 3)], torch.float64)
    edges = neighbour_edges(batch, CUTOFF)

    def lengths(frac_coords: torch.Tensor, lattice: torch.Tensor) -> torch.Tensor:
        moved = CrystalBatch(lattice, frac_coords, batch.numbers, batch.crystal_index, batch.n_atoms)
        return edge_vectors(moved, edges).square().sum(1)[:10]

    assert bool((lengths(batch.frac_coords, batch.lattice) < CUTOFF**2).all())
    assert torch.autograd.gradcheck(lengths, (batch.frac_coords.requires_grad_(), batch.lattice.requires_grad_()))


@pytest.mark.parametrize(
    ("lattice", "message"),
    [
        (np.full((3, 3), np.nan), "bad-1 has no geometry"),
        (np.zeros((3, 3)), "bad-1 has a cell of 0 cubic angstrom"),
        (np.eye(3) * 0.05, "would have about .* neighbour pairs within 4 angstrom; the bound is 10,000,000"),
    ],
)
def test_what_is_no_crystal_is_an_error_that_names_it(lattice: np.ndarray, message: str) -> None:
    crystal = Crystal(lattice=lattice, frac_coords=np.zeros((3, 3)), numbers=[1, 1, 1], id="bad-1")
    with pytest.raises(DataError, match=message):
        neighbour_arrays(crystal, CUTOFF)


def test_a_batch_above_the_memory_bound_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = CrystalBatch.from_crystals([random_crystal(seed, 1) for seed in range(20)])
    monkeypatch.setattr("crystalfw.core.batch.MAX_EDGES", 30)
    with pytest.raises(DataError, match="smaller batches or a smaller cutoff"):
        neighbour_edges(batch, CUTOFF)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, float("nan"), float("inf")])
def test_a_cutoff_must_be_positive(cutoff: float) -> None:
    with pytest.raises(DataError, match="cutoff must be a positive number"):
        neighbour_arrays(random_crystal(1, 1), cutoff)
