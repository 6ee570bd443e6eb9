"""Analysis by synthesis: a `rigid` or `metric` string states as much as its own decode needs.

The encoder writes the crystal's net at growing levels of detail, decodes each and compares the result with the crystal;
the first level whose decode is good is the string. Good is, for `rigid`, a strict match, for `metric` a strict match with
a root mean square deviation of at most 0.03. The encoder uses no other criterion; the decoder receives the string only.

Strict: pymatgen's StructureMatcher with primitive cells, volumes scaled to each other, ltol 0.2, stol 0.3, angle_tol
5 degrees. Loose, for crystals that no level reproduces strictly: 0.3, 0.5, 10 degrees. Deviations are in units of
(volume / atoms)^(1/3), as the matcher gives them.

Shapes: E edges, K contacts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.geometry.matcher import matcher
from crystalfw.core.records import Decoded
from crystalfw.plugins.representations.slices.decoding.decoder import DecoderConfig, decode_graphs
from crystalfw.plugins.representations.slices.encoding import BondedCrystal, EncodeError, canonical_graph, with_lengths
from crystalfw.plugins.representations.slices.graph.bonds import half_pairs
from crystalfw.plugins.representations.slices.graph.graph import NO_LENGTH, QuotientGraph, normalised
from crystalfw.plugins.representations.slices.lengths.rigidity import Stiffening, stiffened, stiffening
from crystalfw.plugins.representations.slices.text.dialects import Dialect


@dataclass(frozen=True)
class Level:
    """What a string states besides the bonds."""

    share: float
    """Which share of the missing rigidity contacts give."""
    per_atom: int = 0
    """So many of the shortest remaining non-bonds per atom besides, in whole groups of equal length."""


LEVELS: dict[Dialect, tuple[Level, ...]] = {
    "rigid": (Level(0.0), Level(0.5), Level(1.0), Level(1.0, 1), Level(1.0, 2), Level(1.0, 4), Level(1.0, 7)),
    "metric": (Level(1.0), Level(1.0, 1), Level(1.0, 2), Level(1.0, 4)),
}
GOOD: dict[Dialect, float] = {"rigid": float("inf"), "metric": 0.03}
"""Largest deviation of a strict match that ends the search."""
_EQUAL = 2e-3


@dataclass(frozen=True)
class Agreement:
    """How well a decoded crystal agrees with the one that was written."""

    score: int
    """2 for a strict match, 1 for a loose one, 0 for none."""
    deviation: float
    """Root mean square, in units of (volume / atoms)^(1/3); infinite without a match."""

    def better(self, other: Agreement) -> bool:
        """True if this one is closer, by a margin that justifies more tokens."""
        return (self.score, -1.2 * self.deviation) > (other.score, -other.deviation)


NOTHING = Agreement(0, float("inf"))


def written_graphs(crystals: Sequence[BondedCrystal], dialect: Dialect) -> list[QuotientGraph]:
    """For each crystal the canonical graph of the first level whose decode is good, else of the closest one."""
    needs = [stiffening(crystal) for crystal in crystals]
    chosen: list[QuotientGraph | None] = [None] * len(crystals)
    best = [NOTHING] * len(crystals)
    waiting = list(range(len(crystals)))
    for level in LEVELS[dialect]:
        # contacts for rigidity change nothing if none are needed
        places = [place for place in waiting if chosen[place] is None or level.per_atom or needs[place].groups]
        graphs = {place: _written(crystals[place], needs[place], level, dialect) for place in places}
        tried = [(place, graph) for place, graph in graphs.items() if graph is not None]
        outcomes = decode_graphs([graph for _, graph in tried], DecoderConfig(reencode=False))
        for (place, graph), outcome in zip(tried, outcomes, strict=True):
            agreement = compare(crystals[place], outcome)
            if chosen[place] is None or agreement.better(best[place]):
                chosen[place], best[place] = graph, agreement
        waiting = [place for place in waiting if best[place].score < 2 or best[place].deviation > GOOD[dialect]]
    return [
        graph if graph is not None else with_lengths(crystal, dialect) for crystal, graph in zip(crystals, chosen, strict=True)
    ]


def _written(crystal: BondedCrystal, need: Stiffening, level: Level, dialect: Dialect) -> QuotientGraph | None:
    """The canonical graph of a level; None if its labels do not fit a string."""
    wanted = level.share * sum(group.gain for group in need.groups)
    groups, gained = [], 0
    for group in need.groups:
        if gained >= wanted - 1e-9:
            break
        groups.append(group)
        gained += group.gain
    detailed = with_shortest(stiffened(crystal, tuple(groups)), level.per_atom)
    try:
        return canonical_graph(with_lengths(detailed, dialect))
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


def compare(crystal: BondedCrystal, outcome: Decoded) -> Agreement:
    """The decoded crystal against the one that was written, by the strict test, then by the loose one."""
    if outcome.crystal is None:
        return NOTHING
    reference = Crystal(lattice=crystal.lattice, frac_coords=crystal.frac_coords, numbers=crystal.graph.numbers)
    structures = reference.structure, outcome.crystal.structure
    for score, tolerance in ((2, "strict"), (1, "loose")):
        found = matcher(tolerance).get_rms_dist(*structures)
        if found is not None:
            return Agreement(score, float(found[0]))
    return NOTHING
