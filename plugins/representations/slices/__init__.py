"""SLICES: crystals as strings of atoms and labelled bonds, and back; usable alone.

    from crystalfw import slices
    string = slices.encode(crystal)                 # or a pymatgen Structure, ASE Atoms, a path
    outcome = slices.decode(string)                 # .crystal, .quality, or .reason and .message
    slices.canonical(string) == slices.canonical(slices.augment(string, seed=7))
    slices.key(crystal)                             # equal for equal bond topologies

docs/guides/slices.md has the grammar and the reasons.
"""

from __future__ import annotations

from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.reading import as_crystals
from crystalfw.core.errors import DataError
from crystalfw.core.records import Decoded
from crystalfw.plugins.representations.slices.encoding import EncodeError, canonical_graph
from crystalfw.plugins.representations.slices.graph.graph import QuotientGraph
from crystalfw.plugins.representations.slices.slices import Slices, read_net, topology_key
from crystalfw.plugins.representations.slices.text.strings import dialect_of, parse, print_graph

if TYPE_CHECKING:
    from crystalfw.core.data.reading import One

__all__ = [
    "EncodeError",
    "QuotientGraph",
    "Slices",
    "augment",
    "canonical",
    "decode",
    "dialect_of",
    "encode",
    "key",
    "parse",
    "print_graph",
]


@cache
def _codec(dialect: str) -> Slices:
    return Slices(Slices.Config(dialect=dialect, max_atoms=256))


def _crystal(given: One) -> Crystal:
    crystals = list(islice(as_crystals(given), 2))
    if len(crystals) != 1:
        raise DataError(f"one crystal is needed here, not {'none' if not crystals else 'several'}")
    return crystals[0]


def encode(crystal: One, dialect: str = "plain") -> str:
    """The canonical string of a crystal; raises EncodeError with its reason.

    For many crystals `Slices(config).encode(crystals)` is the way: it returns an outcome for each.
    """
    outcome = _codec(dialect).encode([_crystal(crystal)])[0]
    if not outcome.ok:
        raise EncodeError(outcome.reason)
    return outcome.string


def decode(string: str) -> Decoded:
    """The crystal of a string with quality figures, or the reason why it cannot be decoded; never raises."""
    return _codec("plain").decode([string])[0]


def canonical(string: str) -> str:
    """The canonical string: equal for all strings of one graph, flags and lengths included.

    Raises DecodeError if the string is invalid, EncodeError if labels in {-1, 0, 1} do not suffice.
    """
    return print_graph(canonical_graph(read_net(string)))


def key(crystal: One) -> str:
    """The canonical plain string: the same for every description of a crystal (order of atoms, basis of the same
    lattice, origin, rotation, reflection), and equal only for equal composition and bond topology.

    Raises EncodeError with its reason.
    """
    return topology_key(_crystal(crystal))


def augment(string: str, seed: int) -> str:
    """A random equivalent of a string; the same seed gives the same string."""
    return Slices.augment(_codec("plain"), string, np.random.default_rng(seed))
