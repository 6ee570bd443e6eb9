"""The parts of the decoder, each against its definition."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.errors import DataError
from crystalfw.plugins.representations.slices.decoding.batch import GraphBatch, by_size, rows_times
from crystalfw.plugins.representations.slices.decoding.bond_table import N_ELEMENTS, Bonds, BondTable, fit
from crystalfw.plugins.representations.slices.decoding.cells import minkowski, reduced
from crystalfw.plugins.representations.slices.decoding.closed_form import leverage, standard_realisation, start_geometry
from crystalfw.plugins.representations.slices.decoding.decoder import fitted
from crystalfw.plugins.representations.slices.decoding.least_squares import Targets, minimise
from crystalfw.plugins.representations.slices.decoding.net import LengthNet, element_features
from crystalfw.plugins.representations.slices.decoding.pairs import (
    Pairs,
    candidates,
    edges_of,
    from_keys,
    keys,
    near,
    second_neighbours,
    without_edges,
)
from crystalfw.plugins.representations.slices.decoding.rounds import graph_leverage, pair_inputs
from crystalfw.plugins.representations.slices.decoding.start import expect, first_geometry
from crystalfw.plugins.representations.slices.graph.graph import QuotientGraph

STEPS = list(itertools.product((-1, 0, 1), repeat=3))


def random_graph(seed: int, n_atoms: int) -> QuotientGraph:
    """A connected, three-periodic graph: the axes at atom 0, a tree, some more edges."""
    rng = np.random.default_rng(seed)
    edges = [(0, 0, 1, 0, 0), (0, 0, 0, 1, 0), (0, 0, 0, 0, 1)]
    edges += [(int(rng.integers(0, atom)), atom, *STEPS[rng.integers(27)]) for atom in range(1, n_atoms)]
    for _ in range(4 * n_atoms):
        i, j, step = int(rng.integers(n_atoms)), int(rng.integers(n_atoms)), STEPS[rng.integers(27)]
        if i != j or step != (0, 0, 0):
            edges.append((i, j, *step))
    table = np.array(edges)
    return QuotientGraph.from_edges(rng.integers(1, 90, n_atoms), table[:, 0], table[:, 1], table[:, 2:])


@pytest.fixture(scope="module")
def batch() -> GraphBatch:
    return GraphBatch.from_graphs([random_graph(seed, n_atoms) for seed, n_atoms in enumerate((1, 2, 5, 9, 4))])


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_reduced_cells_span_the_same_lattice_and_are_short(seed):
    rng = np.random.default_rng(seed)
    shear = np.tril(rng.integers(-4, 5, (3, 3)), -1) + np.eye(3)
    lattice = torch.as_tensor(shear @ (rng.normal(size=(3, 3)) + 2 * np.eye(3)))[None]
    cell, change = minkowski(lattice)
    torch.testing.assert_close(change @ lattice, cell)
    assert abs(abs(float(torch.linalg.det(change))) - 1) < 1e-6
    assert float(torch.linalg.det(cell)) > 0
    combinations = torch.tensor([step for step in STEPS if any(step)], dtype=torch.float64)
    norms = cell[0].norm(dim=1)
    for step in combinations:
        last = int(step.nonzero().max())
        assert float((step @ cell[0]).norm()) >= float(norms[last]) - 1e-6


def test_reducing_moves_no_atom(batch):
    geometry, usable = standard_realisation(batch, torch.full((len(batch.source),), 2.0, dtype=torch.float64))
    assert usable.all()
    skew = torch.tensor([[1.0, 0, 0], [3, 1, 0], [-2, 5, 1]], dtype=torch.float64).expand(batch.size, 3, 3)
    inverse = torch.linalg.inv(skew)
    skewed = start_geometry(batch, rows_times(geometry.frac, inverse[batch.crystal]), skew @ geometry.lattice)
    label = rows_times(batch.label.double(), inverse[batch.edge_crystal]).round().long()
    skewed = type(skewed)(skewed.frac, skewed.lattice, label, skewed.basis, skewed.shift)
    after = reduced(batch, skewed)
    before_E = skewed.vectors(batch.source, batch.target, skewed.label, batch.edge_crystal)
    after_E = after.vectors(batch.source, batch.target, after.label, batch.edge_crystal)
    torch.testing.assert_close(after_E.norm(dim=1), before_E.norm(dim=1))
    assert ((after.frac >= 0) & (after.frac <= 1)).all()
    expected = rows_times(skewed.frac, torch.linalg.inv(after.basis)[batch.crystal]) - after.shift
    torch.testing.assert_close(after.frac, expected)


def test_the_standard_realisation_is_balanced_and_isotropic(batch):
    lengths = torch.linspace(1.5, 3.0, len(batch.source), dtype=torch.float64)
    geometry, _ = standard_realisation(batch, lengths)
    vector = geometry.vectors(batch.source, batch.target, geometry.label, batch.edge_crystal)
    pull = vector / lengths[:, None] ** 2
    force = (
        torch.zeros(len(batch.numbers), 3, dtype=torch.float64)
        .index_add(0, batch.source, pull)
        .index_add(0, batch.target, -pull)
    )
    assert force.abs().max() < 1e-8
    for crystal in range(batch.size):
        mine = batch.edge_crystal == crystal
        moment = pull[mine].T @ vector[mine]
        torch.testing.assert_close(moment, torch.eye(3, dtype=torch.float64) * moment.trace() / 3)


def test_flat_and_broken_graphs_are_told_apart():
    square = np.array([[0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 1, 1, 0]])
    flat = QuotientGraph(np.array([6]), square[:, 0], square[:, 1], square[:, 2:])
    batch = GraphBatch.from_graphs([random_graph(1, 3), flat])
    geometry, usable = standard_realisation(batch, torch.full((len(batch.source),), 2.0))
    assert usable.tolist() == [True, False]
    assert geometry.lattice.isfinite().all()


def test_leverage_is_one_on_a_bridge_and_sums_to_the_rank():
    bridge = np.array([[0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 1, 1, 0], [0, 1, 0, 0, 0]])
    graph = QuotientGraph(np.array([6, 1]), bridge[:, 0], bridge[:, 1], bridge[:, 2:])
    batch = GraphBatch.from_graphs([graph, random_graph(2, 6)])
    found = leverage(batch)
    assert found[4] == pytest.approx(1.0, abs=1e-4)
    assert found[2] == pytest.approx(1.0, abs=1e-4)
    assert found[0] < 0.8
    sums = torch.zeros(2, dtype=torch.float64).index_add(0, batch.edge_crystal, found)
    torch.testing.assert_close(sums, batch.n_atoms.double() + 2, rtol=1e-3, atol=1e-3)


def test_near_pairs_are_those_of_a_search_without_tricks(batch):
    geometry, _ = first_geometry(batch, expect(batch, fitted().table))
    radius = torch.full((len(batch.numbers),), 2.5)
    found = near(batch, geometry, candidates(batch), radius)
    assert len(torch.unique(keys(found, len(batch.numbers)))) == len(found)
    steps = torch.tensor(list(itertools.product(range(-4, 5), repeat=3)))
    expected = 0
    for crystal in range(batch.size):
        atoms = (batch.crystal == crystal).nonzero()[:, 0]
        for i, j in itertools.product(atoms.tolist(), repeat=2):
            vectors = (geometry.frac[j] + steps - geometry.frac[i]) @ geometry.lattice[crystal]
            length = vectors.norm(dim=1)
            expected += int(((length < 2.5) & ((i != j) | (steps != 0).any(1))).sum())
    assert 2 * len(found) == expected


def test_keys_do_not_see_the_direction(batch):
    edges = edges_of(batch, standard_realisation(batch, torch.ones(len(batch.source)))[0])
    turned = Pairs(edges.target, edges.source, -edges.label)
    found = keys(edges, len(batch.numbers))
    assert torch.equal(found, keys(turned, len(batch.numbers)))
    assert torch.equal(found, keys(from_keys(found, len(batch.numbers)), len(batch.numbers)))


def test_edges_are_no_neighbours_of_theirs(batch):
    geometry = standard_realisation(batch, torch.ones(len(batch.source)))[0]
    assert len(without_edges(batch, geometry, edges_of(batch, geometry))) == 0


def test_second_neighbours_of_a_cubic_net():
    axes = np.array([[0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]])
    batch = GraphBatch.from_graphs([QuotientGraph(np.array([84]), axes[:, 0], axes[:, 1], axes[:, 2:])])
    geometry = standard_realisation(batch, torch.ones(3))[0]
    found = from_keys(second_neighbours(batch, geometry, 6), 1)
    assert sorted(found.label.abs().sum(1).tolist()) == [2] * 9  # six face diagonals, three doubled axes
    assert len(second_neighbours(batch, geometry, 5)) == 0


def test_least_squares_finds_back_a_crystal_from_its_lengths(batch):
    rng = torch.Generator().manual_seed(0)
    geometry, _ = first_geometry(batch, expect(batch, fitted().table))
    pairs = near(batch, geometry, candidates(batch), torch.full((len(batch.numbers),), 6.0))
    crystal = batch.crystal[pairs.source]
    true = geometry.vectors(pairs.source, pairs.target, pairs.label, crystal).norm(dim=1)
    moved = type(geometry)(
        geometry.frac + 0.01 * torch.randn(geometry.frac.shape, generator=rng),
        geometry.lattice * 1.05,
        geometry.label,
        geometry.basis,
        geometry.shift,
    )
    targets = Targets(pairs, true, 1 / true, torch.zeros(len(pairs), dtype=torch.bool))
    after, cost = minimise(batch, moved, targets, 12)
    found = after.vectors(pairs.source, pairs.target, pairs.label, crystal).norm(dim=1)
    assert float(cost.max()) < 1e-4
    torch.testing.assert_close(found, true, rtol=5e-3, atol=5e-3)


def test_least_squares_meets_a_volume(batch):
    geometry, _ = first_geometry(batch, expect(batch, fitted().table))
    wanted = torch.linalg.det(geometry.lattice).log() + 0.3
    nothing = edges_of(batch, geometry)
    targets = Targets(
        nothing,
        torch.ones(len(nothing)),
        torch.zeros(len(nothing)),
        torch.zeros(len(nothing), dtype=torch.bool),
        wanted,
        torch.ones(batch.size),
    )
    after, _ = minimise(batch, geometry, targets, 10)
    torch.testing.assert_close(torch.linalg.det(after.lattice).log(), wanted, rtol=1e-3, atol=1e-3)


def test_the_table_recovers_radii_and_survives_its_file(tmp_path):
    rng = np.random.default_rng(0)
    radius = rng.uniform(-0.3, 0.3, N_ELEMENTS)
    z_i, z_j = rng.integers(1, 60, (2, 20_000))
    c_i, c_j = rng.integers(1, 13, (2, 20_000))
    length = np.exp(0.9 + radius[z_i] + radius[z_j] + 0.1 * (np.log(c_i) + np.log(c_j)))
    table = fit(Bonds(z_i, z_j, c_i, c_j, length))
    assert table.coordination[0] == pytest.approx(0.1, abs=0.01)
    spread = table.element[1:60].numpy() - radius[1:60]
    assert np.abs(spread - spread.mean()).max() < 0.02
    table.write(tmp_path / "table.json")
    again = BondTable.read(tmp_path / "table.json")
    torch.testing.assert_close(again.element[1:], table.element[1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(again.pair, table.pair, atol=1e-5, rtol=0)
    (tmp_path / "old.json").write_text('{"format": 0}')
    with pytest.raises(DataError, match="format 0"):
        BondTable.read(tmp_path / "old.json")


def test_the_net_ignores_rotation_and_survives_its_file(batch, tmp_path):
    torch.manual_seed(0)
    net = LengthNet()
    net.element.copy_(element_features())
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    expectation = expect(batch, fitted().table)
    geometry, _ = first_geometry(batch, expectation)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))
    turned = type(geometry)(geometry.frac, geometry.lattice @ turn, geometry.label, geometry.basis, geometry.shift)
    first, second = (net(pair_inputs(batch, each, expectation, graph_leverage(batch))) for each in (geometry, turned))
    torch.testing.assert_close(first.ln_ratio, second.ln_ratio, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(first.ln_volume, second.ln_volume, rtol=1e-3, atol=1e-4)
    net.write(tmp_path / "net.safetensors")
    again = LengthNet.read(tmp_path / "net.safetensors")
    third = again(pair_inputs(batch, geometry, expectation, graph_leverage(batch)))
    torch.testing.assert_close(third.ln_ratio, first.ln_ratio)


def test_selecting_crystals_keeps_their_graphs(batch):
    part = batch.select(torch.tensor([1, 3]))
    geometry, _ = standard_realisation(batch, torch.ones(len(batch.source)))
    alone, _ = standard_realisation(part, torch.ones(len(part.source)))
    chosen = geometry.select(batch, torch.tensor([1, 3]))
    torch.testing.assert_close(chosen.lattice, alone.lattice)
    torch.testing.assert_close(chosen.frac, alone.frac)
    back = geometry.put(batch, torch.tensor([1, 3]), alone)
    torch.testing.assert_close(back.frac, geometry.frac)


def test_groups_hold_every_crystal_once_and_keep_to_the_budget():
    costs = [30, 2000, 50, 50, 400, 10, 70]
    made = list(by_size(costs, 3, 500))
    assert sorted(index for group in made for index in group) == list(range(7))
    assert all(len(group) <= 3 for group in made)
    assert all(len(group) == 1 or len(group) * max(costs[k] for k in group) <= 500 for group in made)
