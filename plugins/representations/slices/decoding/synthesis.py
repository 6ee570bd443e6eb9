"""Analysis by synthesis: a `rigid` string says no more than its own decode needs.

The encoder writes the crystal's net at growing levels of detail, decodes each and compares the result with the crystal;
the first level whose decode matches is the string. It looks at nothing but the strict test stated here, and the decoder
sees the string alone.

Strict test: pymatgen's StructureMatcher with primitive cells, volumes scaled to each other, ltol 0.2, stol 0.3,
angle_tol 5 degrees. Loose, for crystals that no level gets right: 0.3, 0.5, 10 degrees.

Shapes: E edges, K contacts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Decoded
from crystalfw.plugins.representations.slices.bonds import half_pairs
from crystalfw.plugins.representations.slices.decoding.decoder import DecoderConfig, decode_graphs
from crystalfw.plugins.representations.slices.encoding import BondedCrystal, EncodeError, canonical_graph, with_lengths
from crystalfw.plugins.representations.slices.graph import NO_LENGTH, QuotientGraph, normalised
from crystalfw.plugins.representations.slices.rigidity import Stiffening, stiffened, stiffening

STRICT, LOOSE = (0.2, 0.3, 5.0), (0.3, 0.5, 10.0)


@dataclass(frozen=True)
class Level:
    """How much a string says besides the bonds."""

    share: float
    """Which share of the missing rigidity contacts give."""
    per_atom: int = 0
    """So many of the shortest remaining non-bonds per atom besides, in whole groups of equal length."""


LEVELS = (Level(0.0), Level(0.5), Level(1.0), Level(1.0, 1), Level(1.0, 2), Level(1.0, 4))
_EQUAL = 2e-3


def rigid_graphs(crystals: Sequence[BondedCrystal]) -> list[QuotientGraph]:
    """For each crystal the graph of the first level whose decode matches strictly, else loosely, else full rigidity."""
    needs = [stiffening(crystal) for crystal in crystals]
    chosen: list[QuotientGraph | None] = [None] * len(crystals)
    waiting, matched = list(range(len(crystals))), [0] * len(crystals)
    config = DecoderConfig(reencode=False)
    for level in LEVELS:
        # contacts for rigidity change nothing where none are needed
        places = [place for place in waiting if level.share == 0 or level.per_atom or needs[place].groups]
        graphs = {place: _written(crystals[place], needs[place], level) for place in places}
        tried = [(place, graph) for place, graph in graphs.items() if graph is not None]
        for (place, graph), outcome in zip(tried, decode_graphs([graph for _, graph in tried], config), strict=True):
            agreement = compare(crystals[place], outcome)
            if agreement > matched[place] or (matched[place] == 0 and not level.per_atom):
                chosen[place], matched[place] = graph, agreement
        waiting = [place for place in waiting if matched[place] < 2]
    return [
        graph if graph is not None else with_lengths(crystal, "rigid") for crystal, graph in zip(crystals, chosen, strict=True)
    ]


def _written(crystal: BondedCrystal, need: Stiffening, level: Level) -> QuotientGraph | None:
    """The canonical graph of a level; None where its labels do not fit a string."""
    wanted = level.share * sum(group.gain for group in need.groups)
    groups, gained = [], 0
    for group in need.groups:
        if gained >= wanted - 1e-9:
            break
        groups.append(group)
        gained += group.gain
    detailed = with_shortest(stiffened(crystal, tuple(groups)), level.per_atom)
    try:
        return canonical_graph(with_lengths(detailed, "rigid"))
    except EncodeError:
        return None


def with_shortest(crystal: BondedCrystal, per_atom: int) -> BondedCrystal:
    """The crystal with its shortest `per_atom` non-bonds per atom added as contacts."""
    if per_atom == 0:
        return crystal
    graph, count = crystal.graph, per_atom * crystal.graph.n_atoms
    i, j, shifts = normalised(graph.i, graph.j, graph.shifts)
    known = set(map(tuple, np.column_stack([i, j, shifts]).tolist()))
    share = abs(float(np.linalg.det(crystal.lattice))) / graph.n_atoms
    cutoff = (3 * share / (4 * np.pi) * (4 * per_atom + 20)) ** (1 / 3)
    while True:
        pairs, distances = half_pairs(crystal.lattice, crystal.frac_coords, cutoff)
        new = np.array([tuple(pair) not in known for pair in pairs.tolist()], dtype=bool)
        pairs, distances = pairs[new], distances[new]
        if len(pairs) > count:
            break
        cutoff *= 1.2
    order = np.argsort(distances, kind="stable")
    end = int(np.searchsorted(distances[order], distances[order[count - 1]] * (1 + _EQUAL), side="right"))
    added, lengths = pairs[order[:end]], distances[order[:end]]
    wider = QuotientGraph(
        graph.numbers,
        np.concatenate([graph.i, added[:, 0]]),
        np.concatenate([graph.j, added[:, 1]]),
        np.concatenate([graph.shifts, added[:, 2:]]),
        np.concatenate([graph.contact, np.ones(end, dtype=bool)]),
        np.concatenate([graph.length, np.full(end, NO_LENGTH, dtype=np.int16)]),
        graph.space_group,
    )
    return replace(crystal, graph=wider, distances=np.concatenate([crystal.distances, lengths]))


def compare(crystal: BondedCrystal, outcome: Decoded) -> int:
    """2 where the decoded crystal matches strictly, 1 loosely, 0 not at all."""
    if outcome.crystal is None:
        return 0
    reference = Crystal(lattice=crystal.lattice, frac_coords=crystal.frac_coords, numbers=crystal.graph.numbers)
    for score, tolerances in ((2, STRICT), (1, LOOSE)):
        if _matcher(*tolerances).get_rms_dist(reference.structure, outcome.crystal.structure) is not None:
            return score
    return 0


@cache
def _matcher(ltol: float, stol: float, angle_tol: float) -> Any:
    from pymatgen.analysis.structure_matcher import ElementComparator, StructureMatcher

    return StructureMatcher(
        ltol=ltol,
        stol=stol,
        angle_tol=angle_tol,
        primitive_cell=True,
        scale=True,
        attempt_supercell=False,
        comparator=ElementComparator(),
    )
