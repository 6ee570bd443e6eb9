"""The canonical form: one string for all descriptions, and different ones for different nets."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw import slices
from crystalfw.core.crystal import Crystal
from crystalfw.plugins.representations.slices.canonical.augmentation import random_equivalent
from crystalfw.plugins.representations.slices.canonical.gauge import fit_labels, small_bases
from crystalfw.plugins.representations.slices.encoding import EncodeError, canonical_graph
from crystalfw.plugins.representations.slices.graph.graph import QuotientGraph
from crystalfw.plugins.representations.slices.text.strings import parse, print_graph

Redescribe = Callable[[Crystal, int], Crystal]


def test_key_of_known_crystals_is_invariant(known: Crystal, redescribe: Redescribe) -> None:
    key = slices.key(known)
    assert {slices.key(redescribe(known, seed)) for seed in range(15)} == {key}
    assert slices.canonical(key) == key == slices.key(known.structure)


@given(seed=st.integers(0, 10_000), n_atoms=st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_key_of_random_crystals_is_invariant(
    seed: int, n_atoms: int, make_random: Callable[[int, int], Crystal], redescribe: Redescribe
) -> None:
    crystal = make_random(seed, n_atoms)
    assert slices.key(redescribe(crystal, seed + 1)) == slices.key(crystal)


@pytest.mark.parametrize("dialect", ["plain", "metric"])
def test_equivalents_of_strings_have_one_canonical_form(known: Crystal, dialect: str) -> None:
    string = slices.encode(known, dialect)
    others = {slices.augment(string, seed) for seed in range(20)}
    assert len(others) > 1
    assert {slices.canonical(other) for other in others} == {string}
    assert {len(other.split()) for other in others} == {len(string.split())}


def test_augmentation_is_seeded(known: Crystal) -> None:
    string = slices.encode(known)
    assert slices.augment(string, 5) == slices.augment(string, 5)


def test_different_topologies_have_different_keys(library: dict[str, Crystal]) -> None:
    keys = {name: slices.key(crystal) for name, crystal in library.items()}
    assert len(set(keys.values())) == len(keys)
    carbon = [keys[name] for name in ("diamond", "lonsdaleite", "graphite")]
    assert len(set(carbon)) == 3


def test_contacts_and_lengths_take_part_in_the_form() -> None:
    net = "C C 0 0 +oo 0 0 o+o 0 1 ooo 0 1 oo+"
    flagged = net.replace("0 1 ooo", "0 1 ooo ~24")
    swapped = net.replace("0 1 oo+", "0 1 oo+ ~24")
    assert slices.canonical(flagged) != slices.canonical(net)
    assert slices.canonical(flagged) == slices.canonical(swapped)
    assert slices.canonical(flagged.replace("~24", "~30")) != slices.canonical(flagged)


def dangling(arms: int, tail: str) -> str:
    """A cubic net whose atom carries arms that all shrink to its place in the realisation."""
    atoms = ["Fe", *["C", tail] * arms]
    edges = ["0 0 +oo", "0 0 o+o", "0 0 oo+"]
    for arm in range(arms):
        edges += [f"0 {1 + 2 * arm} ooo", f"{1 + 2 * arm} {2 + 2 * arm} ooo"]
    return " ".join([*atoms, *edges])


@pytest.mark.parametrize("string", [dangling(2, "H"), dangling(4, "O"), dangling(12, "N")])
def test_atoms_that_coincide_in_the_realisation(string: str) -> None:
    form = slices.canonical(string)
    assert {slices.canonical(slices.augment(string, seed)) for seed in range(10)} == {form}


def test_ties_that_are_no_symmetry() -> None:
    """Two carbon rings on one iron atom, of three and of six: all atoms of a ring coincide, colours cannot help early."""
    edges = [(0, 1), (0, 4), (1, 2), (2, 3), (3, 1), (4, 5), (5, 6), (6, 7), (7, 8), (8, 9), (9, 4)]
    string = "Fe " + "C " * 9 + "0 0 +oo 0 0 o+o 0 0 oo+ " + " ".join(f"{i} {j} ooo" for i, j in edges)
    form = slices.canonical(string)
    assert {slices.canonical(slices.augment(string, seed)) for seed in range(20)} == {form}


def test_small_nets_by_brute_force() -> None:
    """Among all nets of two atoms with four bonds: equal forms exactly where a relabelling takes one into the other."""
    labels = [np.array(x) for x in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, -1, 0))]
    forms: dict[str, set[str]] = {}
    for chosen in itertools.combinations(range(6), 4):
        shifts = np.array([labels[k] for k in chosen])
        differences = shifts[1:] - shifts[0]
        if abs(round(np.linalg.det(differences))) != 1:
            continue
        zeros, ones = np.zeros(4, dtype=np.int64), np.ones(4, dtype=np.int64)
        graph = QuotientGraph(np.array([6, 6]), zeros, ones, shifts)
        forms.setdefault(print_graph(canonical_graph(graph)), set()).add(str(chosen))
    # four bonds between two atoms that generate the lattice are all diamond
    assert len(forms) == 1


def test_labels_are_found_where_there_are_any() -> None:
    graph = parse("Na Cl 0 1 ooo 0 1 +oo 0 1 o+o 0 1 oo+ 0 0 ++o")
    rng = np.random.default_rng(0)
    for _ in range(20):
        images = rng.integers(-9, 10, size=(2, 3))
        shear = np.eye(3, dtype=np.int64)
        shear[0, 1] = rng.integers(-1, 2)
        shifts = graph.shifts @ shear + images[graph.j] - images[graph.i]
        labels = fit_labels(2, graph.i, graph.j, shifts)
        assert labels is not None
        assert np.abs(labels).max() <= 1
        moved = QuotientGraph.from_edges(graph.numbers, graph.i, graph.j, labels)
        assert slices.canonical(print_graph(moved)) == slices.canonical(print_graph(graph))


def test_impossible_labels_are_an_error_never_clamped() -> None:
    shifts = np.array([[1, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 1]])
    zeros = np.zeros(4, dtype=np.int64)
    assert fit_labels(1, zeros, zeros, shifts) is None
    with pytest.raises(EncodeError) as caught:
        canonical_graph(QuotientGraph(np.array([6]), zeros, zeros, shifts))
    assert caught.value.reason == "labels"
    with pytest.raises(ValueError, match="no token"):
        print_graph(QuotientGraph(np.array([6]), zeros, zeros, shifts))


def test_bases_tried_for_labels() -> None:
    bases = small_bases()
    assert np.array_equal(bases[0], np.eye(3))
    assert (np.abs(np.rint(np.linalg.det(bases))) == 1).all()


def test_augmentation_reaches_many_descriptions() -> None:
    graph = parse("C C 0 1 ooo 0 1 +oo 0 1 o+o 0 1 oo+")
    rng = np.random.default_rng(1)
    strings = {print_graph(random_equivalent(graph, rng)) for _ in range(200)}
    assert len(strings) > 100


# Cs8Tl8O, 17 atoms: refinement alone tells apart what coincides in the realisation. Edges i, j, shift.
TOLD_APART = [
    (0, 2, 0, 0, -1), (0, 3, 0, 0, -1), (0, 4, -1, 0, 0), (0, 5, 0, 0, -1), (0, 6, 0, -1, 0), (0, 7, 0, 0, 0), (0, 9, 0, 0, -1),
    (0, 10, 0, 0, -1), (0, 11, 0, 0, -1), (0, 12, 0, 0, 0), (0, 13, 0, -1, 0), (0, 15, -1, 0, 0), (1, 2, 0, 0, 0),
    (1, 3, 0, 1, 0), (1, 4, 0, 0, 1), (1, 5, 1, 0, 0), (1, 6, 0, 0, 1), (1, 7, 0, 0, 1), (1, 9, 0, 1, 0), (1, 10, 0, 0, 0),
    (1, 11, 1, 0, 0), (1, 12, 0, 0, 1), (1, 13, 0, 0, 1), (1, 15, 0, 0, 1), (2, 16, 0, 0, 0), (3, 16, 0, 0, 0),
    (4, 16, 0, 0, 0), (5, 16, 0, 0, 0), (6, 16, 0, 0, 0), (7, 16, 0, 0, 0), (8, 12, 1, 0, 0), (8, 13, 0, 0, 0),
    (8, 15, 0, 1, 0), (9, 10, -1, 0, 0), (9, 11, 0, -1, 0), (9, 12, 0, -1, 1), (9, 14, 0, 0, 0), (9, 15, -1, 0, 1),
    (10, 11, 1, -1, 0), (10, 13, 0, -1, 1), (10, 14, 1, 0, 0), (10, 15, 0, 0, 1), (11, 12, 0, 0, 1), (11, 13, -1, 0, 1),
    (11, 14, 0, 1, 0), (12, 13, -1, 0, 0), (12, 15, -1, 1, 0), (13, 15, 0, 1, 0),
]  # fmt: skip


def test_no_index_leaves_its_array() -> None:
    """Compiled code reads beyond an array without a word; run as plain Python, it raises."""
    program = (
        "import json, sys, warnings, numpy as np\n"
        "warnings.simplefilter('ignore', RuntimeWarning)  # hashes wrap around\n"
        "from crystalfw.plugins.representations.slices.encoding import canonical_graph\n"
        "from crystalfw.plugins.representations.slices.graph.graph import QuotientGraph\n"
        "edges = np.array(json.loads(sys.argv[1]))\n"
        "numbers = np.array([55] * 8 + [81] * 8 + [8])\n"
        "rng = np.random.default_rng(0)\n"
        "for _ in range(3):\n"
        "    order = rng.permutation(len(numbers))\n"
        "    place = np.argsort(order)\n"
        "    graph = QuotientGraph(numbers[order], place[edges[:, 0]], place[edges[:, 1]], edges[:, 2:])\n"
        "    form = canonical_graph(graph)\n"
        "    print(form.numbers.tolist(), form.i.tolist(), form.j.tolist(), form.shifts.tolist())\n"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-c", program, json.dumps(TOLD_APART)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.splitlines())) == 1
