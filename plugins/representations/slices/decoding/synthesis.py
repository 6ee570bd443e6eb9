"""Analysis by synthesis: a `rigid` string says no more than its own decode needs.

The encoder writes the crystal's net at growing levels of detail, decodes each and compares the result with the crystal;
the first level whose decode matches is the string. It looks at nothing but the strict test stated here, and the decoder
sees the string alone.

Strict test: pymatgen's StructureMatcher with primitive cells, volumes scaled to each other, ltol 0.2, stol 0.3,
angle_tol 5 degrees. Loose, for crystals that no level gets right: 0.3, 0.5, 10 degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Decoded
from crystalfw.plugins.representations.slices.decoding.decoder import DecoderConfig, decode_graphs
from crystalfw.plugins.representations.slices.encoding import BondedCrystal, EncodeError, canonical_graph, with_lengths
from crystalfw.plugins.representations.slices.graph import QuotientGraph
from crystalfw.plugins.representations.slices.rigidity import Stiffening, stiffened, stiffening

STRICT, LOOSE = (0.2, 0.3, 5.0), (0.3, 0.5, 10.0)
SHARES = (0.0, 0.5, 1.0)
"""Levels: which share of the missing rigidity the contacts give."""


def rigid_graphs(crystals: Sequence[BondedCrystal]) -> list[QuotientGraph]:
    """For each crystal the graph of the first level whose decode matches strictly, else loosely, else the last one."""
    needs = [stiffening(crystal) for crystal in crystals]
    chosen: list[QuotientGraph | None] = [None] * len(crystals)
    loosely = [False] * len(crystals)
    open_places = list(range(len(crystals)))
    config = DecoderConfig(reencode=False)
    for level, share in enumerate(SHARES):
        # a crystal that needs no contacts is the same at every level
        places = [place for place in open_places if level == 0 or needs[place].groups]
        graphs = {place: _level(crystals[place], needs[place], share) for place in places}
        written = [place for place in places if graphs[place] is not None]
        decoded = decode_graphs([_known(graphs[place]) for place in written], config)
        for place, outcome in zip(written, decoded, strict=True):
            agreement = compare(crystals[place], outcome)
            if agreement == 2:
                open_places.remove(place)
            if agreement or not loosely[place]:
                chosen[place] = graphs[place]
            loosely[place] = loosely[place] or agreement > 0
    return [
        graph if graph is not None else with_lengths(crystal, "rigid") for crystal, graph in zip(crystals, chosen, strict=True)
    ]


def _known(graph: QuotientGraph | None) -> QuotientGraph:
    assert graph is not None
    return graph


def _level(crystal: BondedCrystal, need: Stiffening, share: float) -> QuotientGraph | None:
    """The canonical graph with contacts for a share of the missing rank; None where its labels do not fit a string."""
    wanted = share * sum(group.gain for group in need.groups)
    groups, gained = [], 0
    for group in need.groups:
        if gained >= wanted - 1e-9:
            break
        groups.append(group)
        gained += group.gain
    try:
        return canonical_graph(with_lengths(stiffened(crystal, tuple(groups)), "rigid"))
    except EncodeError:
        return None


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
