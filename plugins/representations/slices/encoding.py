"""Crystals to quotient graphs: reduce the cell, find the bonds, complete the net, choose labels, put it in canonical order.

Shapes: N atoms, E edges.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import CrystalfwError
from crystalfw.core.geometry.compiled_reduction import determinant, inverse, reduce_cell
from crystalfw.plugins.representations.slices.canonical.canonical_form import canonical_edges
from crystalfw.plugins.representations.slices.canonical.gauge import fit_labels
from crystalfw.plugins.representations.slices.graph.bonds import COINCIDENT, econ_bonds
from crystalfw.plugins.representations.slices.graph.completion import completing_contacts
from crystalfw.plugins.representations.slices.graph.cycles import is_three_dimensional, net_of
from crystalfw.plugins.representations.slices.graph.graph import NO_LENGTH, QuotientGraph, normalised
from crystalfw.plugins.representations.slices.reasons import ENCODE_REASONS
from crystalfw.plugins.representations.slices.text.dialects import ELEMENTS, MAX_ATOMS, Dialect, nearest_step

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class EncodeError(CrystalfwError):
    """A crystal has no string; `reason` is one of reasons.ENCODE_REASONS."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(ENCODE_REASONS[reason])


@dataclass(frozen=True)
class BondedCrystal:
    """A crystal with its quotient graph: bonds by ECoN, flagged contacts that complete the net.

    The cell is reduced and the atoms are wrapped, so shifts refer to this cell and are not yet labels of a string.
    """

    lattice: FloatArray
    """(3, 3) reduced lattice rows, angstrom."""
    frac_coords: FloatArray
    """(N, 3) fractional coordinates in [0, 1)."""
    graph: QuotientGraph
    distances: FloatArray
    """(E,) length of every edge, angstrom."""
    mean_distances: FloatArray
    """(N,) Hoppe's weighted mean bond length of every atom, angstrom."""


def bonded(crystal: Crystal, max_atoms: int = MAX_ATOMS) -> BondedCrystal:
    """Bonds and completing contacts of a crystal; raises EncodeError."""
    _check(crystal, max_atoms)
    lattice, transform = reduce_cell(crystal.lattice)
    frac_coords = crystal.frac_coords @ inverse(transform.astype(np.float64))
    frac_coords -= np.floor(frac_coords)
    frac_coords[frac_coords >= 1] = 0.0  # -1e-17 wraps to 1.0
    bonds, distances, mean = econ_bonds(lattice, frac_coords)
    if len(distances) and distances.min() < COINCIDENT:
        raise EncodeError("coincident_atoms")
    contacts, lengths, complete = completing_contacts(lattice, frac_coords, bonds)
    if not complete:
        raise EncodeError("completion")
    edges = np.concatenate([bonds, contacts])
    graph = QuotientGraph(
        crystal.numbers, edges[:, 0], edges[:, 1], edges[:, 2:], np.arange(len(edges)) >= len(bonds), _none(len(edges))
    )
    return BondedCrystal(lattice, frac_coords, graph, np.concatenate([distances, lengths]), mean)


def canonical_graph(graph: QuotientGraph) -> QuotientGraph:
    """The canonical description of a three-dimensional graph, labels in {-1, 0, 1}; contacts and lengths go with their
    edges and take part in the order. Raises EncodeError('labels') if no basis gives such labels."""
    if not is_periodic(graph):
        raise EncodeError("completion")
    kinds = graph.contact + 2 * (graph.length.astype(np.int64) + 1)
    edges = np.column_stack([graph.i, graph.j, graph.shifts])
    atoms, ordered, order = canonical_edges(graph.numbers, edges, kinds)
    i, j, labels = ordered[:, 0], ordered[:, 1], ordered[:, 2:]
    shifts = fit_labels(graph.n_atoms, i, j, labels)
    if shifts is None:
        raise EncodeError("labels")
    if shifts is not labels:
        i, j, shifts = normalised(i, j, shifts)
    return QuotientGraph(graph.numbers[atoms], i, j, shifts, graph.contact[order], graph.length[order], graph.space_group)


def is_periodic(graph: QuotientGraph) -> bool:
    """True if the edges make one net whose cycles generate all three lattice translations."""
    return bool(is_three_dimensional(net_of(graph.n_atoms, np.column_stack([graph.i, graph.j, graph.shifts]))))


def with_lengths(crystal: BondedCrystal, dialect: Dialect) -> QuotientGraph:
    """The graph with the tokens of a dialect: `metric` a length on every edge, `rigid` a coarse one on the contacts,
    `plain` neither lengths nor flags."""
    if dialect == "plain":
        return plain(crystal.graph)
    if dialect == "metric":
        return replace(crystal.graph, length=nearest_step(crystal.distances))
    steps = np.where(crystal.graph.contact, nearest_step(crystal.distances, coarse=True), NO_LENGTH)
    return replace(crystal.graph, length=steps.astype(np.int16))


def plain(graph: QuotientGraph) -> QuotientGraph:
    """The same net without flags and lengths: contacts become bonds."""
    return replace(graph, contact=np.zeros(graph.n_edges, dtype=bool), length=_none(graph.n_edges))


def _none(n_edges: int) -> NDArray[np.int16]:
    return np.full(n_edges, NO_LENGTH, dtype=np.int16)


def _check(crystal: Crystal, max_atoms: int) -> None:
    if crystal.n_atoms == 0 or crystal.numbers.min() < 1 or crystal.numbers.max() > len(ELEMENTS):
        raise EncodeError("element")
    if crystal.n_atoms > max_atoms:
        raise EncodeError("too_many_atoms")
    scale = np.abs(crystal.lattice).max()
    finite = np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()
    if not finite or scale > 1e4 or abs(determinant(crystal.lattice)) < 1e-9 * scale**3 or scale < 0.1:
        raise EncodeError("cell")
