"""Random equivalents of a graph: for training a model on many strings of one crystal.

Shapes: N atoms, E edges.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crystalfw.plugins.representations.slices.canonical.gauge import gauge
from crystalfw.plugins.representations.slices.graph.graph import IntArray, QuotientGraph, normalised

_TRIES = 20


def random_basis(rng: np.random.Generator) -> IntArray:
    """A random unimodular (3, 3) matrix: three random shears, then a random permutation and inversion of the axes."""
    basis = np.eye(3, dtype=np.int64)
    for _ in range(3):
        to, by = rng.permutation(3)[:2]
        basis[to] += rng.integers(-1, 2) * basis[by]
    return np.asarray(rng.choice([-1, 1], size=3)[:, None] * basis[rng.permutation(3)], dtype=np.int64)


def random_equivalent(graph: QuotientGraph, rng: np.random.Generator) -> QuotientGraph:
    """The same graph with its atoms in random order, in a random basis and gauge, labels within {-1, 0, 1}.

    Edges are sorted, as the encoder sorts them: their order carries no information, and a model need not learn to guess it.
    If twenty random bases allow no such labels, the axes are only permuted and inverted.
    """
    order = rng.permutation(graph.n_atoms)
    place = np.argsort(order)
    i, j = place[graph.i], place[graph.j]
    shifts = _random_labels(graph, i, j, rng)
    i, j, shifts = normalised(i, j, shifts)
    moved = replace(graph, numbers=graph.numbers[order], i=i, j=j, shifts=shifts)
    return moved.take(np.lexsort((shifts[:, 2], shifts[:, 1], shifts[:, 0], j, i)))


def _random_labels(graph: QuotientGraph, i: IntArray, j: IntArray, rng: np.random.Generator) -> IntArray:
    for _ in range(_TRIES):
        images = rng.integers(-1, 2, size=(graph.n_atoms, 3))
        shifts = (graph.shifts @ random_basis(rng)) + images[j] - images[i]
        labels, found = gauge(graph.n_atoms, i, j, shifts)
        if found:
            return labels
    axes = rng.permutation(3)
    return graph.shifts[:, axes] * rng.choice([-1, 1], size=3)
