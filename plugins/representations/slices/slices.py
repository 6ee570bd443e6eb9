"""The representation `slices`: crystals to strings and token ids and back, in one of three dialects.

Shapes: R rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DecodeError, PluginError
from crystalfw.core.geometry.space_group import space_group_number
from crystalfw.core.interfaces import GrammarState, Representation, Weights
from crystalfw.core.records import Decoded, Encoded, TokenMeaning
from crystalfw.plugins.representations.slices.canonical.augmentation import random_equivalent
from crystalfw.plugins.representations.slices.decoding import finishing
from crystalfw.plugins.representations.slices.decoding.quality import DECODER_REASONS
from crystalfw.plugins.representations.slices.encoding import (
    BondedCrystal,
    EncodeError,
    bonded,
    canonical_graph,
    is_periodic,
    plain,
    with_lengths,
)
from crystalfw.plugins.representations.slices.graph.graph import QuotientGraph
from crystalfw.plugins.representations.slices.reasons import DECODE_REASONS, ENCODE_REASONS
from crystalfw.plugins.representations.slices.text.dialects import DIALECTS, MAX_ATOMS, vocabulary
from crystalfw.plugins.representations.slices.text.strings import parse, print_graph


class Slices(Representation):
    """SLICES strings (Xiao et al., Nat. Commun. 14 (2023) 7027), with two dialects that also say lengths."""

    version = "2"
    reasons: ClassVar[Mapping[str, str]] = {**ENCODE_REASONS, **DECODE_REASONS, **DECODER_REASONS}

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Content of the strings."""

        dialect: str = "plain"
        """`plain`: bonds only, the published strings; `rigid`: besides, the contacts that the decoder needs, with coarse
        lengths; `metric`: a length on every edge."""
        space_group: bool = False
        """Put the space-group prefix in front (spglib, tolerance 0.1 angstrom)."""
        max_atoms: int = MAX_ATOMS
        """Largest cell: the number of atom-index tokens in the vocabulary."""
        symmetrise: bool = False
        """Symmetrise decoded crystals to the space group of the string's prefix, otherwise to the one that spglib finds."""
        device: str = "cpu"
        """Where decoding computes, e.g. cuda."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or self.Config()
        if self.config.dialect not in DIALECTS:
            raise PluginError(f"slices: no dialect called {self.config.dialect!r}; there are {', '.join(DIALECTS)}")
        if not 1 <= self.config.max_atoms <= 256:
            raise PluginError(f"slices: max_atoms must be 1 to 256, not {self.config.max_atoms}")
        self.vocabulary = vocabulary(self.config.max_atoms)
        self._ids = {token: number for number, token in enumerate(self.vocabulary.tokens)}

    @classmethod
    def upgrade(cls, version: str, options: dict[str, Any], state: Weights) -> tuple[dict[str, Any], Weights]:
        """Version 1 had an option `relax`; relaxing is a command of its own now."""
        return {name: value for name, value in options.items() if name != "relax"}, state

    def encode(self, crystals: Sequence[Crystal]) -> list[Encoded]:
        """The canonical string of each crystal, or one of reasons.ENCODE_REASONS."""
        outcomes: list[Encoded | None] = [None] * len(crystals)
        found: list[tuple[int, BondedCrystal]] = []
        for place, crystal in enumerate(crystals):
            try:
                found.append((place, bonded(crystal, self.config.max_atoms)))
            except EncodeError as error:
                outcomes[place] = Encoded(reason=error.reason)
        for (place, _), graph in zip(found, self._written([crystal for _, crystal in found]), strict=True):
            try:
                graph = canonical_graph(graph)
                if self.config.space_group:
                    # spglib fails on some distorted crystals: P1 is always true
                    graph = replace(graph, space_group=space_group_number(crystals[place]) or 1)
                outcomes[place] = Encoded(string=print_graph(graph))
            except EncodeError as error:
                outcomes[place] = Encoded(reason=error.reason)
        assert all(outcome is not None for outcome in outcomes)
        return [outcome for outcome in outcomes if outcome is not None]

    def _written(self, crystals: list[BondedCrystal]) -> list[QuotientGraph]:
        """Graphs with the flags and lengths of the dialect, not yet in canonical order."""
        if self.config.dialect != "plain":
            from crystalfw.plugins.representations.slices.lengths.synthesis import written_graphs

            return written_graphs(crystals, "rigid" if self.config.dialect == "rigid" else "metric")
        return [with_lengths(crystal, "plain") for crystal in crystals]

    def decode(self, strings: Sequence[str]) -> list[Decoded]:
        """A crystal of each string, or one of reasons.DECODE_REASONS with a message."""
        from crystalfw.plugins.representations.slices.decoding.decoder import DecoderConfig, decode_graphs

        outcomes: list[Decoded | None] = [None] * len(strings)
        graphs: list[tuple[int, QuotientGraph]] = []
        for place, string in enumerate(strings):
            try:
                graphs.append((place, read_net(string)))
            except DecodeError as error:
                outcomes[place] = Decoded(reason=error.reason, message=str(error))
        config = DecoderConfig(device=self.config.device)
        decoded = decode_graphs([graph for _, graph in graphs], config)
        if self.config.symmetrise:
            decoded = [finishing.symmetrise(outcome, g.space_group) for outcome, (_, g) in zip(decoded, graphs, strict=True)]
        for (place, _), outcome in zip(graphs, decoded, strict=True):
            outcomes[place] = outcome
        assert all(outcome is not None for outcome in outcomes)
        return [outcome for outcome in outcomes if outcome is not None]

    def key(self, crystal: Crystal) -> str:
        """The canonical plain string whatever the dialect; '' if the crystal cannot be written."""
        try:
            return print_graph(canonical_graph(plain(bonded(crystal, max_atoms=256).graph)))
        except EncodeError:
            return ""

    def tokenize(self, string: str) -> list[int]:
        """Token ids of a string in today's spelling; raises DecodeError('parse', ...) for an unknown token."""
        try:
            return [self._ids[token] for token in string.split()]
        except KeyError as error:
            raise DecodeError("parse", f"{str(error.args[0])[:20]!r} is not a token of this vocabulary") from None

    def detokenize(self, ids: Sequence[int]) -> str:
        """The string of ids; begin, end and padding are dropped."""
        special = {self.vocabulary.pad, self.vocabulary.begin, self.vocabulary.end}
        return " ".join(self.vocabulary.tokens[number] for number in ids if number not in special)

    def grammar(self, rows: int, max_length: int, constraints: Sequence[Mapping[str, Any]] | None = None) -> GrammarState:
        """A fresh mask: only tokens that keep a string of this dialect completable to one three-dimensional net."""
        from crystalfw.plugins.representations.slices.grammar.mask import SlicesMask

        return SlicesMask(
            rows,
            max_length,
            constraints,
            dialect=self.config.dialect,
            prefix=self.config.space_group,
            max_atoms=self.config.max_atoms,
        )

    def canonical_key(self, string: str) -> str:
        """The canonical plain string of the graph: equal for all spellings, lengths and space groups."""
        try:
            return print_graph(canonical_graph(replace(plain(read_net(string)), space_group=None)))
        except (DecodeError, EncodeError):
            return string

    def explain(self, string: str) -> list[TokenMeaning]:
        """Space group, atoms, bonds and contacts with their lengths, piece by piece."""
        from crystalfw.plugins.representations.slices.text.explain import explain

        return explain(string)

    def augment(self, string: str, rng: np.random.Generator) -> str:
        """Another description of the same graph: atoms in random order, random basis and images, edges sorted."""
        return print_graph(random_equivalent(parse(string), rng))

    @classmethod
    def fit(
        cls,
        train: Iterable[Crystal],
        validation: Iterable[Crystal],
        folder: Path,
        *,
        steps: int,
        seed: int,
        data: Sequence[Mapping[str, Any]],
        say: Callable[[str], None],
    ) -> dict[str, Any]:
        """Fit the decoder's parts (`crystalfw codec fit`); see learning.fit.fit_codec."""
        from crystalfw.plugins.representations.slices.learning.fit import fit_codec

        return fit_codec(train, validation, folder, steps=steps, seed=seed, data=data, say=say)


def topology_key(crystal: Crystal) -> str:
    """The canonical plain string of any crystal of up to 256 atoms; raises EncodeError with its reason."""
    return print_graph(canonical_graph(plain(bonded(crystal, max_atoms=256).graph)))


def read_net(string: str) -> QuotientGraph:
    """The graph of a string that can become a crystal; raises DecodeError with reason `parse` or `graph`."""
    graph = parse(string)
    if not is_periodic(graph):
        raise DecodeError("graph", DECODE_REASONS["graph"])
    return graph
