"""Bonds, completion, cycles and rigidity, against pymatgen, plain linear algebra and known structures."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.crystal import Crystal
from crystalfw.core.geometry.compiled_reduction import reduce_cell
from crystalfw.plugins.representations.slices.encoding import EncodeError, bonded, is_periodic
from crystalfw.plugins.representations.slices.graph.bonds import econ_bonds, half_pairs
from crystalfw.plugins.representations.slices.graph.cycles import index, n_components, net_of
from crystalfw.plugins.representations.slices.graph.graph import normalised
from crystalfw.plugins.representations.slices.lengths.rigidity import stiffened, stiffening


def pymatgen_bonds(crystal: Crystal) -> set[tuple[int, ...]]:
    from pymatgen.analysis.graphs import StructureGraph
    from pymatgen.analysis.local_env import EconNN

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = StructureGraph.from_local_env_strategy(crystal.structure, EconNN())
    edges = np.array([(i, j, *shift) for i, j, shift in graph.graph.edges(data="to_jimage")]).reshape(-1, 5)
    i, j, shifts = normalised(edges[:, 0], edges[:, 1], edges[:, 2:])
    return {tuple(row) for row in np.column_stack([i, j, shifts]).tolist()}


def test_bonds_are_those_of_pymatgen(known: Crystal) -> None:
    edges, lengths, _ = econ_bonds(known.lattice, known.frac_coords)
    assert {tuple(edge) for edge in edges.tolist()} == pymatgen_bonds(known)
    vectors = (known.frac_coords[edges[:, 1]] + edges[:, 2:] - known.frac_coords[edges[:, 0]]) @ known.lattice
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), lengths, atol=1e-12)


@pytest.mark.parametrize(("seed", "n_atoms"), [(k, 1 + k % 9) for k in range(12)])
def test_bonds_are_those_of_pymatgen_in_random_crystals(
    seed: int, n_atoms: int, make_random: Callable[[int, int], Crystal]
) -> None:
    crystal = make_random(seed, n_atoms)
    edges, _, _ = econ_bonds(crystal.lattice, crystal.frac_coords)
    assert {tuple(edge) for edge in edges.tolist()} == pymatgen_bonds(crystal)


@pytest.mark.parametrize(
    ("name", "bonds_per_atom"), [("copper", 6), ("rock_salt", 3), ("diamond", 2), ("caesium_chloride", 7), ("graphite", 1.5)]
)
def test_coordination_of_known_structures(name: str, bonds_per_atom: float, library: dict[str, Crystal]) -> None:
    crystal = library[name]
    edges, _, _ = econ_bonds(crystal.lattice, crystal.frac_coords)
    assert len(edges) / crystal.n_atoms == bonds_per_atom


@given(seed=st.integers(0, 10_000), n_atoms=st.integers(1, 6), cutoff=st.floats(1.0, 8.0))
@settings(max_examples=25, deadline=None)
def test_pairs_are_complete(seed: int, n_atoms: int, cutoff: float) -> None:
    rng = np.random.default_rng(seed)
    lattice = rng.normal(size=(3, 3)) + 4 * np.eye(3)
    frac = rng.random((n_atoms, 3))
    pairs, lengths = half_pairs(lattice, frac, cutoff)
    reach = int(np.ceil(cutoff * np.abs(np.linalg.inv(lattice)).sum(0).max())) + 1
    cells = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    vectors = (frac[None, :, None] - frac[None, None, :] + cells[:, None, None]) @ lattice
    expected = np.linalg.norm(vectors, axis=-1)
    assert 2 * len(pairs) == ((expected < cutoff) & (expected > 0)).sum()
    np.testing.assert_allclose(
        np.sort(np.concatenate([lengths, lengths])), np.sort(expected[(expected < cutoff) & (expected > 0)])
    )


@given(seed=st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_reduction_finds_the_shortest_vectors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lattice = rng.normal(size=(3, 3)) + np.diag(rng.random(3))
    if abs(np.linalg.det(lattice)) < 1e-2:
        return
    basis = np.eye(3, dtype=int)
    for _ in range(6):
        to, by = rng.permutation(3)[:2]
        basis[to] += rng.integers(-3, 4) * basis[by]
    reduced, transform = reduce_cell(basis @ lattice)
    np.testing.assert_allclose(transform @ (basis @ lattice), reduced, atol=1e-9)
    assert abs(round(np.linalg.det(transform))) == 1
    assert np.linalg.det(reduced) > 0
    cells = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    norms = np.linalg.norm(cells @ reduced, axis=1)
    minima: list[np.ndarray] = []
    for k in np.argsort(norms, kind="stable"):
        if norms[k] > 0 and np.linalg.matrix_rank(np.array([*minima, cells[k]])) == len(minima) + 1:
            minima.append(cells[k])
    expected = [np.linalg.norm(vector @ reduced) for vector in minima[:3]]
    np.testing.assert_allclose(np.linalg.norm(reduced, axis=1), expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("edges", "components", "lattice_index"),
    [
        ([(0, 0, 1, 0, 0), (0, 0, 0, 1, 0), (0, 0, 0, 0, 1)], 1, 1),
        ([(0, 0, 2, 0, 0), (0, 0, 0, 1, 0), (0, 0, 0, 0, 1)], 1, 2),
        ([(0, 0, 2, 0, 0), (0, 0, 3, 0, 0), (0, 0, 0, 1, 0), (0, 0, 0, 0, 1)], 1, 1),
        ([(0, 0, 1, 1, 0), (0, 0, 1, -1, 0), (0, 0, 0, 0, 1)], 1, 2),
        ([(0, 0, 1, 1, 0), (0, 0, 0, 1, 1), (0, 0, 1, 0, 1)], 1, 2),
        ([(0, 0, 1, 1, 0), (0, 0, 0, 1, 1), (0, 0, 1, 0, 1), (0, 0, 1, 1, 1)], 1, 1),
        ([(0, 0, 1, 0, 0), (0, 0, 0, 1, 0)], 1, 0),
        ([(0, 0, 1, 0, 0), (0, 0, 0, 1, 0), (1, 1, 0, 0, 1)], 2, 1),
        ([(0, 1, 0, 0, 0), (0, 1, 1, 0, 0), (0, 1, 0, 1, 0), (0, 1, 0, 0, 1)], 1, 1),
    ],
)
def test_components_and_lattice_of_cycles(edges: list[tuple[int, ...]], components: int, lattice_index: int) -> None:
    rows = np.array(edges)
    net = net_of(int(rows[:, :2].max()) + 1, rows)
    assert (n_components(net), index(net)) == (components, lattice_index)


@given(st.lists(st.tuples(*[st.integers(-4, 4)] * 3), min_size=3, max_size=6))
@settings(max_examples=100, deadline=None)
def test_lattice_index_is_the_gcd_of_minors(vectors: list[tuple[int, int, int]]) -> None:
    rows = np.array([(0, 0, *vector) for vector in vectors])
    triples = [(a, b, c) for a in vectors for b in vectors for c in vectors]
    expected = np.gcd.reduce([abs(round(np.linalg.det(np.array(triple)))) for triple in triples])
    assert index(net_of(1, rows)) == expected


@pytest.mark.parametrize(("name", "completed"), [("graphite", True), ("nitrogen", True), ("diamond", False), ("rutile", False)])
def test_layers_and_molecules_are_completed(name: str, completed: bool, library: dict[str, Crystal]) -> None:
    crystal = bonded(library[name])
    assert is_periodic(crystal.graph)
    assert crystal.graph.contact.any() == completed
    if completed:
        assert not is_periodic(crystal.graph.take(~crystal.graph.contact))
        assert crystal.distances[crystal.graph.contact].min() > crystal.distances[~crystal.graph.contact].max()


def rigidity_matrix(crystal: Crystal, edges: np.ndarray) -> np.ndarray:
    """Finite differences of the edge lengths by strain and displacement: an independent derivation."""
    n_atoms = crystal.n_atoms

    def lengths(x: np.ndarray) -> np.ndarray:
        strain = np.array([[x[0], x[5], x[4]], [x[5], x[1], x[3]], [x[4], x[3], x[2]]])
        vectors = (crystal.frac_coords[edges[:, 1]] + edges[:, 2:] - crystal.frac_coords[edges[:, 0]]) @ crystal.lattice
        vectors = vectors + x[6:].reshape(-1, 3)[edges[:, 1]] - x[6:].reshape(-1, 3)[edges[:, 0]]
        return np.linalg.norm(vectors @ (np.eye(3) + strain), axis=1)

    steps = 1e-5 * np.eye(6 + 3 * n_atoms)
    return np.array([(lengths(step) - lengths(-step)) / 2e-5 for step in steps]).T


def test_stiffening_reaches_full_rank(known: Crystal) -> None:
    found = bonded(known)
    here = Crystal(lattice=found.lattice, frac_coords=found.frac_coords, numbers=known.numbers)
    need = stiffening(found)
    stiff = stiffened(found, need.groups)
    for crystal, rank in ((found, need.rank), (stiff, need.reached)):
        graph = crystal.graph
        matrix = rigidity_matrix(here, np.column_stack([graph.i, graph.j, graph.shifts]))
        assert np.linalg.matrix_rank(matrix, tol=1e-3) == rank
    assert need.reached == need.full_rank == 3 * known.n_atoms + 3
    assert stiff.graph.contact[found.graph.n_edges :].all()
    assert len({tuple(e) for e in np.column_stack([stiff.graph.i, stiff.graph.j, stiff.graph.shifts])}) == stiff.graph.n_edges


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"frac_coords": np.zeros((2, 3))}, "coincident_atoms"),
        ({"numbers": np.array([11, 104])}, "element"),
        ({"numbers": np.array([0, 11])}, "element"),
        ({"lattice": np.zeros((3, 3))}, "cell"),
        ({"lattice": np.array([[1.0, 0, 0], [2.0, 0, 0], [0, 0, 1.0]])}, "cell"),
        ({"frac_coords": np.full((2, 3), np.nan)}, "cell"),
        ({"lattice": 1e3 * np.eye(3)}, "completion"),
    ],
)
def test_crystals_without_string_say_why(changes: dict[str, np.ndarray], reason: str, library: dict[str, Crystal]) -> None:
    salt = library["rock_salt"]
    fields = {"lattice": salt.lattice, "frac_coords": salt.frac_coords, "numbers": salt.numbers, **changes}
    with pytest.raises(EncodeError) as caught:
        bonded(Crystal(**fields))
    assert caught.value.reason == reason


def test_too_many_atoms(library: dict[str, Crystal]) -> None:
    with pytest.raises(EncodeError) as caught:
        bonded(library["perovskite"], max_atoms=4)
    assert caught.value.reason == "too_many_atoms"
