"""Graphs and strings to crystals: what users rely on."""

import time

import numpy as np
import pytest

from crystalfw.core import Crystal
from crystalfw.plugins.representations.slices.canonical.augmentation import random_equivalent
from crystalfw.plugins.representations.slices.decoding.decoder import DecoderConfig, decode_graphs
from crystalfw.plugins.representations.slices.decoding.quality import DECODER_REASONS
from crystalfw.plugins.representations.slices.decoding.symmetry import symmetrised, with_space_group
from crystalfw.plugins.representations.slices.encoding import bonded, canonical_graph, with_lengths
from crystalfw.plugins.representations.slices.graph.graph import NO_LENGTH, QuotientGraph
from crystalfw.plugins.representations.slices.lengths.rigidity import stiffened, stiffening
from crystalfw.plugins.representations.slices.lengths.synthesis import compare, with_shortest, written_graphs

CUBE = np.eye(3)
FACE = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def crystal(lattice, positions, numbers) -> Crystal:
    return Crystal(lattice=np.asarray(lattice, float), frac_coords=np.asarray(positions, float), numbers=np.asarray(numbers))


CRYSTALS = {
    "copper": crystal(3.61 * FACE, [[0, 0, 0]], [29]),
    "rock salt": crystal(5.64 * FACE, [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17]),
    "diamond": crystal(3.57 * FACE, [[0, 0, 0], [0.25, 0.25, 0.25]], [6, 6]),
    "perovskite": crystal(3.905 * CUBE, [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], [38, 22, 8, 8, 8]),
    "rutile": crystal(
        np.diag([4.594, 4.594, 2.959]),
        [[0, 0, 0], [0.5] * 3, [0.305, 0.305, 0], [0.695, 0.695, 0], [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]],
        [22, 22, 8, 8, 8, 8],
    ),
    "layers of MoS2": crystal(
        [[3.16, 0, 0], [-1.58, 2.7366, 0], [0, 0, 12.3]],
        [[a / 3, (3 - a) / 3, z] for a, z in ((1, 0.25), (2, 0.75), (1, 0.621), (2, 0.121), (1, 0.879), (2, 0.379))],
        [42, 42, 16, 16, 16, 16],
    ),
}  # fmt: skip


def metric_graph(name: str) -> QuotientGraph:
    net = bonded(CRYSTALS[name])
    return canonical_graph(with_lengths(stiffened(net, stiffening(net).groups), "metric"))


def plain_graph(name: str) -> QuotientGraph:
    return canonical_graph(with_lengths(bonded(CRYSTALS[name]), "plain"))


def distances(outcome) -> np.ndarray:
    """Sorted distances of all pairs within the 27 cells: equal for equal crystals, whatever the description."""
    found = outcome.crystal
    shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), -1).reshape(-1, 3)
    difference = found.frac_coords[None] - found.frac_coords[:, None]
    vectors = (difference[:, :, None] + shifts) @ found.lattice
    return np.sort(np.linalg.norm(vectors, axis=-1).ravel())[: 20 * found.n_atoms]


@pytest.mark.parametrize("name", CRYSTALS)
def test_plain_strings_decode_to_their_crystal(name):
    (outcome,) = decode_graphs([plain_graph(name)])
    assert outcome.ok
    assert compare(bonded(CRYSTALS[name]), outcome).score == 2
    assert outcome.quality["residual"] < 0.15
    assert outcome.quality["shortest_distance"] > 1.0


@pytest.mark.parametrize("name", CRYSTALS)
def test_metric_strings_give_lengths_and_volume(name):
    (outcome,) = decode_graphs([metric_graph(name)])
    assert compare(bonded(CRYSTALS[name]), outcome).score == 2
    assert outcome.crystal.volume == pytest.approx(CRYSTALS[name].volume, rel=0.06)
    assert outcome.quality["contradiction"] < 0.005
    assert outcome.quality["reencodes"] == 1.0


def test_the_rest_of_the_batch_changes_nothing():
    graphs = [plain_graph(name) for name in CRYSTALS]
    together = decode_graphs(graphs)
    for graph, outcome in zip(graphs, together, strict=True):
        (alone,) = decode_graphs([graph])
        np.testing.assert_allclose(distances(alone), distances(outcome), rtol=2e-3)


def test_the_description_changes_nothing():
    rng = np.random.default_rng(3)
    for name in ("rutile", "perovskite", "layers of MoS2"):
        graph = metric_graph(name)
        (first,), (second,) = decode_graphs([graph]), decode_graphs([random_equivalent(graph, rng)])
        np.testing.assert_allclose(distances(first), distances(second), rtol=5e-3)


def test_rigid_strings_decode_and_say_no_more_than_they_must():
    nets = [bonded(each) for each in CRYSTALS.values()]
    graphs = written_graphs(nets, "rigid")
    for net, graph, outcome in zip(nets, graphs, decode_graphs(graphs), strict=True):
        assert compare(net, outcome).score == 2
        assert (graph.length[~graph.contact] == NO_LENGTH).all()
        assert (graph.length[graph.contact] >= 0).all()
    assert graphs[list(CRYSTALS).index("rock salt")].contact.sum() == 0


def test_the_shortest_non_bonds_come_in_whole_groups():
    net = bonded(CRYSTALS["rock salt"])
    wider = with_shortest(net, 1)
    added = wider.distances[net.graph.n_edges :]
    assert len(added) == 12  # both fcc lattices: six pairs each at a / sqrt(2), and not only two of them
    np.testing.assert_allclose(added, 5.64 / 2**0.5)
    assert wider.graph.contact[net.graph.n_edges :].all()
    edges = np.column_stack([wider.graph.i, wider.graph.j, wider.graph.shifts])
    assert len(np.unique(edges, axis=0)) == len(edges)


def test_contradicting_lengths_are_measured_and_survived():
    graph = metric_graph("rutile")
    steps = graph.length.copy()
    steps[::3] += 8
    wrong = QuotientGraph(graph.numbers, graph.i, graph.j, graph.shifts, graph.contact, steps)
    right, contradicting = decode_graphs([graph, wrong])
    assert contradicting.ok
    assert contradicting.quality["contradiction"] > right.quality["contradiction"] + 0.01


def test_hostile_graphs_end_in_time_with_a_reason():
    rng = np.random.default_rng(0)
    graphs = []
    for _ in range(150):
        n_atoms = int(rng.integers(1, 25))
        n_edges = int(rng.integers(0, 4 * n_atoms + 3))
        edges = rng.integers(0, n_atoms, (2, n_edges)), rng.integers(-1, 2, (n_edges, 3))
        real = (edges[0][0] != edges[0][1]) | (edges[1] != 0).any(1)
        i, j, shifts = edges[0][0][real], edges[0][1][real], edges[1][real]
        length = np.where(rng.random(len(i)) < 0.3, rng.integers(0, 144, len(i)), NO_LENGTH).astype(np.int16)
        graphs.append(QuotientGraph.from_edges(rng.integers(1, 104, n_atoms), i, j, shifts, length >= 0, length))
    begin = time.process_time()
    outcomes = decode_graphs(graphs)
    assert time.process_time() - begin < 30
    for outcome in outcomes:
        assert outcome.ok or outcome.reason in DECODER_REASONS
        if outcome.crystal is not None:
            assert np.isfinite(outcome.crystal.lattice).all()
            assert np.isfinite(outcome.crystal.frac_coords).all()
    assert any(not outcome.ok for outcome in outcomes)


def test_no_graphs_no_outcomes():
    assert decode_graphs([]) == []


def test_an_unconnected_graph_is_refused():
    atoms = np.array([11, 17, 11])
    edges = [[0, 1, s] for s in ([0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1])]
    shifts = np.array([edge[2] for edge in edges])
    graph = QuotientGraph(atoms, np.zeros(6, dtype=np.int64), np.ones(6, dtype=np.int64), shifts)
    (outcome,) = decode_graphs([graph])
    assert outcome.reason == "embedding"
    assert outcome.message == DECODER_REASONS["embedding"]


def test_without_rounds_the_table_alone_decodes():
    (outcome,) = decode_graphs([plain_graph("rock salt")], DecoderConfig(rounds=0))
    assert compare(bonded(CRYSTALS["rock salt"]), outcome).score == 2


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # spglib's, at every call
def test_symmetrising_restores_a_perturbed_crystal():
    import spglib

    rng = np.random.default_rng(1)
    exact = CRYSTALS["perovskite"]
    noisy = crystal(
        exact.lattice + 0.02 * rng.normal(size=(3, 3)), exact.frac_coords + 0.004 * rng.normal(size=(5, 3)), exact.numbers
    )
    found, changed = with_space_group(noisy, 221)
    assert changed
    for result in (symmetrised(noisy, 0.2), found):
        cell = result.lattice, result.frac_coords, result.numbers
        assert spglib.get_symmetry_dataset(cell, symprec=1e-5).number == 221
        assert result.volume == pytest.approx(noisy.volume, rel=1e-2)
    assert with_space_group(noisy, 62) == (noisy, False)
