"""The symmetries of a crystal, as laws of the equivariant encoder in float64; the largest deviation is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core import Crystal, CrystalBatch
from crystalfw.core.testing.crystals import (
    changed,
    deviation,
    encode,
    make,
    random_crystal,
    rotation,
    supercell,
    unimodular,
    wigner_matrix,
)

BOUND = 1e-12
OPTIONS = {"multiplicities": (8, 6, 4), "dim": 16, "radial_hidden": 16, "cutoff": 4.0}
worst: dict[str, float] = {}
crystals = st.builds(random_crystal, seed=st.integers(0, 10**6), n_atoms=st.integers(1, 4))
seeds = st.integers(0, 10**6)


@pytest.fixture(scope="module", autouse=True)
def report() -> Iterator[None]:
    yield
    print("\nlargest deviation, float64:", ", ".join(f"{law} {value:.1e}" for law, value in worst.items()))


@pytest.fixture(scope="module", params=[True, False], ids=["O3", "SO3"])
def encoder(request: pytest.FixtureRequest) -> torch.nn.Module:
    return make(parity=request.param, **OPTIONS).double()


def check(law: str, encoder: torch.nn.Module, crystal: Crystal, equivalent: Crystal, order: np.ndarray | None = None) -> None:
    """Tokens equal (in another order of atoms where given), pooled equal."""
    first, second = encode(encoder, crystal), encode(encoder, equivalent)
    tokens = first.tokens if order is None else first.tokens[:, order]
    found = max(deviation(tokens, second.tokens), deviation(first.pooled, second.pooled))
    worst[law] = max(worst.get(law, 0.0), found)
    assert found <= BOUND, f"{law}: tokens differ by {found:.1e}"


def rotated(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    return changed(crystal, lattice=crystal.lattice @ rotation(rng).T)


def translated(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    return changed(crystal, frac_coords=crystal.frac_coords + rng.uniform(-1, 1, 3))


def wrapped(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    return changed(crystal, frac_coords=crystal.frac_coords + rng.integers(-3, 4, crystal.frac_coords.shape))


def other_basis(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    matrix = unimodular(rng)
    return changed(crystal, lattice=matrix @ crystal.lattice, frac_coords=crystal.frac_coords @ np.linalg.inv(matrix))


@pytest.mark.parametrize("law", [rotated, translated, wrapped, other_basis], ids=lambda law: law.__name__)
@settings(max_examples=15, deadline=None)
@given(crystal=crystals, seed=seeds)
def test_tokens_do_not_change(
    encoder: torch.nn.Module, law: Callable[[Crystal, np.random.Generator], Crystal], crystal: Crystal, seed: int
) -> None:
    check(law.__name__, encoder, crystal, law(crystal, np.random.default_rng(seed)))


@settings(max_examples=15, deadline=None)
@given(crystal=crystals, seed=seeds)
def test_reflections_change_nothing_where_parity_is_imposed(crystal: Crystal, seed: int) -> None:
    mirror = rotation(np.random.default_rng(seed), improper=True)
    check("reflected", make(**OPTIONS), crystal, changed(crystal, lattice=crystal.lattice @ mirror.T))


def test_the_hands_of_a_chiral_crystal_differ_only_without_parity() -> None:
    crystal = random_crystal(7, 4)
    mirrored = changed(crystal, lattice=crystal.lattice * [1, 1, -1])
    same, other = make(**OPTIONS), make(parity=False, **OPTIONS)
    assert deviation(encode(same, crystal).pooled, encode(same, mirrored).pooled) < BOUND
    assert deviation(encode(other, crystal).pooled, encode(other, mirrored).pooled) > 1e-4


@settings(max_examples=15, deadline=None)
@given(crystal=crystals, seed=seeds)
def test_tokens_are_permuted_with_the_atoms(encoder: torch.nn.Module, crystal: Crystal, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(crystal.n_atoms)
    permuted = changed(crystal, frac_coords=crystal.frac_coords[order], numbers=crystal.numbers[order])
    check("permuted", encoder, crystal, permuted, order)


@settings(max_examples=8, deadline=None)
@given(crystal=crystals, repeats=st.tuples(*[st.integers(1, 2)] * 3))
def test_a_supercell_repeats_the_tokens(encoder: torch.nn.Module, crystal: Crystal, repeats: tuple[int, int, int]) -> None:
    order = np.tile(np.arange(crystal.n_atoms), int(np.prod(repeats)))
    check("supercell", encoder, crystal, supercell(crystal, repeats), order)


@settings(max_examples=15, deadline=None)
@given(crystal=crystals, seed=seeds, improper=st.booleans())
def test_features_transform_with_the_wigner_matrices(
    encoder: torch.nn.Module, crystal: Crystal, seed: int, improper: bool
) -> None:
    improper = improper and encoder.config.parity
    matrix = rotation(np.random.default_rng(seed), improper=improper)
    with torch.no_grad():
        first, second = (
            encoder.equivariant_features(CrystalBatch.from_crystals([one], torch.float64))
            for one in (crystal, changed(crystal, lattice=crystal.lattice @ matrix.T))
        )
    wigner = wigner_matrix(encoder.irreps, matrix)
    assert deviation(first[:, encoder.irreps[0].dim :], torch.zeros(())) > 0 or first.shape[0] == 1
    worst["wigner"] = max(worst.get("wigner", 0.0), deviation(first @ wigner.T, second))
    assert deviation(first @ wigner.T, second) < BOUND


@settings(max_examples=10, deadline=None)
@given(several=st.lists(crystals, min_size=2, max_size=4))
def test_a_crystal_does_not_feel_its_batch(encoder: torch.nn.Module, several: list[Crystal]) -> None:
    together = encode(encoder, *several)
    for index, crystal in enumerate(several):
        alone = encode(encoder, crystal)
        found = deviation(alone.tokens[0], together.tokens[index, : crystal.n_atoms])
        worst["batch"] = max(worst.get("batch", 0.0), found, deviation(alone.pooled[0], together.pooled[index]))
        assert together.mask[index].sum() == crystal.n_atoms
    assert worst["batch"] <= BOUND


@pytest.mark.parametrize("radial", ["bessel", "gaussian"])
def test_tokens_are_smooth_where_a_neighbour_crosses_the_cutoff(radial: str) -> None:
    encoder = make(radial=radial, **OPTIONS).double()

    def pooled(distance: float) -> torch.Tensor:
        pair = Crystal(lattice=np.eye(3) * 20, frac_coords=[[0, 0, 0], [distance / 20, 0, 0]], numbers=[8, 22])
        return encode(encoder, pair).pooled

    outside, step = pooled(4.0 + 1e-9), 1e-4
    assert deviation(pooled(4.0 - step), outside) < 1e-8, "value jumps"
    assert deviation(pooled(4.0 - step), outside) / step < 1e-4, "slope jumps"
    assert deviation(pooled(3.5), outside) > 1e-5, "the neighbour is not felt inside"


def test_a_list_that_reaches_further_gives_the_same_tokens() -> None:
    encoder, batch = make(**OPTIONS).double(), CrystalBatch.from_crystals([random_crystal(1, 3)], torch.float64)
    with torch.no_grad():
        assert deviation(encoder(batch.with_edges(6.0)).tokens, encoder(batch.with_edges(4.0)).tokens) < BOUND


def test_unordered_edges_give_the_same_tokens() -> None:
    encoder = make(**OPTIONS).double()
    batch = CrystalBatch.from_crystals([random_crystal(1, 3), random_crystal(2, 2)], torch.float64).with_edges(4.0)
    assert batch.edges is not None
    order = torch.randperm(len(batch.edges.source), generator=torch.Generator().manual_seed(0))
    edges = type(batch.edges)(batch.edges.source[order], batch.edges.target[order], batch.edges.shift[order], 4.0)
    shuffled = CrystalBatch(batch.lattice, batch.frac_coords, batch.numbers, batch.crystal_index, batch.n_atoms, edges=edges)
    with torch.no_grad():
        assert deviation(encoder(shuffled).tokens, encoder(batch).tokens) < BOUND


@pytest.mark.parametrize("cell", ["isolated", "coincident", "one atom"])
def test_odd_crystals_give_finite_tokens(cell: str) -> None:
    crystal = {
        "isolated": Crystal(lattice=np.eye(3) * 30, frac_coords=np.zeros((1, 3)), numbers=[2]),
        "coincident": Crystal(lattice=np.eye(3) * 4, frac_coords=np.zeros((2, 3)), numbers=[2, 3]),
        "one atom": Crystal(lattice=np.eye(3) * 2.5, frac_coords=np.zeros((1, 3)), numbers=[29]),
    }[cell]
    batch = CrystalBatch.from_crystals([crystal])
    batch.frac_coords.requires_grad_()
    memory = make(**OPTIONS)(batch)
    memory.pooled.square().sum().backward()
    assert bool(memory.tokens.isfinite().all())
    assert bool(batch.frac_coords.grad is None or batch.frac_coords.grad.isfinite().all())
