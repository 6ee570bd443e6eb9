"""What a trained generator has to say about a composition: draws as crystals, and how likely it finds given strings.

Shapes: R strings, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import ConditionError
from crystalfw.core.interfaces import Proposal, Question, SequenceDecoder
from crystalfw.core.retrieval.lookup import numbers_only
from crystalfw.core.sample.engine import SampledString, in_order
from crystalfw.core.sample.request import Request
from crystalfw.core.sample.trained import Trained

MAX_UNITS = 3
"""Numbers of formula units that are tried where a question leaves them open."""


@dataclass(frozen=True)
class Drawn:
    """A string that the generator wrote for a question, decoded."""

    crystal: Crystal
    key: str
    """Canonical key of the crystal's string."""
    probability: float
    """The model's probability of the string."""
    units: int
    """Formula units in the cell."""


class Generator:
    """A trained model asked for crystals of a composition; the grammar forces the composition. Same question, same answer.

    `name` is said where a crystal comes from; `draws`: strings drawn for each number of formula units.
    """

    def __init__(self, trained: Trained, name: str, *, draws: int = 8, seed: int = 0) -> None:
        self.trained, self.name, self.draws, self.seed = trained, name, draws, seed

    def propose(self, question: Question, n: int) -> list[Proposal]:
        """At most n distinct crystals, likeliest first; none for a composition that the model cannot be asked for."""
        drawn = self.drawn(question, question.units[:MAX_UNITS] or (1,))
        return [self.proposal(one, one.probability) for one in sorted(drawn, key=lambda one: -one.probability)[:n]]

    def proposal(self, drawn: Drawn, probability: float) -> Proposal:
        """A draw as a proposal; its origin is the model."""
        from crystalfw.core.geometry.space_group import space_group_number

        group = space_group_number(drawn.crystal) or 1
        return Proposal(drawn.crystal, probability, template="", source=self.name, group=group, units=drawn.units)

    def drawn(self, question: Question, units: Sequence[int], known: frozenset[str] = frozenset()) -> list[Drawn]:
        """The distinct draws that give a crystal; strings with a key in `known` are left out before they are decoded."""
        found: dict[str, Drawn] = {}
        for one in units:
            try:
                strings = next(self.strings([condition_of(question, one)]))
            except ConditionError:  # more atoms or other elements than its strings can say
                continue
            for drawn in self.decoded(strings, one, known):
                found.setdefault(drawn.key, drawn)
        return list(found.values())

    def strings(self, conditions: Sequence[Crystal]) -> Iterator[list[SampledString]]:
        """The finished draws of each condition, all drawn in one stream. Raises ConditionError for one that cannot be met."""
        request = self._request(conditions)
        indices = range(len(conditions) * self.draws)
        drawn = in_order(self.trained.sampler.strings(request, indices, self.draws), indices)
        for _ in conditions:
            yield [string for string in islice(drawn, self.draws) if string.finished]

    def decoded(self, strings: Sequence[SampledString], units: int, known: frozenset[str] = frozenset()) -> list[Drawn]:
        """The crystals of a condition's distinct draws, likeliest first; keys in `known` are left out."""
        representation = self.trained.components.representation
        distinct: dict[str, SampledString] = {}
        for string in sorted(strings, key=lambda one: (-one.log_prob, one.index)):
            distinct.setdefault(representation.canonical_key(string.string), string)
        fresh = {key: replace(string, index=0) for key, string in distinct.items() if key not in known}
        outcomes = self.trained.sampler.crystals(self._request([]), list(fresh.values()))
        made = [
            Drawn(sample.crystal, key, float(np.exp(string.log_prob)), units)
            for (key, string), sample in zip(fresh.items(), outcomes, strict=True)
            if sample.crystal is not None
        ]
        # decoding may lead to a crystal of another string, such as a known one
        keys = canonical_keys(self.trained, [one.crystal for one in made])
        return [replace(one, key=key or one.key) for one, key in zip(made, keys, strict=True) if key not in known]

    def _request(self, conditions: Sequence[Crystal]) -> Request:
        section = self.trained.recipe.sample
        settings = replace(
            section, n=max(1, len(conditions)) * self.draws, candidates=self.draws, beam=None, keep=None, temperature=1.0,
            guidance=1.0, constraints={"composition": "from_condition"},
        )  # fmt: skip
        return Request(settings=settings, seed=self.seed, conditions=tuple(conditions))

    @torch.inference_mode()
    def likelihoods(self, question: Question, units: int, strings: Sequence[str]) -> list[float]:
        """The model's probability of each string; 0 for one that is too long for it."""
        generator, representation = self.trained.generator, self.trained.components.representation
        decoder, vocabulary = generator.decoder, representation.vocabulary
        assert isinstance(decoder, SequenceDecoder)
        written = [[vocabulary.begin, *representation.tokenize(string), vocabulary.end] for string in strings]
        short = [k for k, ids in enumerate(written) if len(ids) <= decoder.max_length]
        found = [0.0] * len(strings)
        if not short:
            return found
        ids_RT = torch.full((len(short), max(len(written[k]) for k in short)), vocabulary.pad)
        for row, k in enumerate(short):
            ids_RT[row, : len(written[k])] = torch.tensor(written[k])
        ids_RT = ids_RT.to(self.trained.device)
        memory = self.trained.sampler.memory([condition_of(question, units)])
        ports = generator.bind(memory).select(torch.zeros(len(short), dtype=torch.int64, device=ids_RT.device))
        log_RTV = decoder(ids_RT[:, :-1], ports).float().log_softmax(-1)
        said_RT = log_RTV.gather(2, ids_RT[:, 1:, None])[..., 0].masked_fill(ids_RT[:, 1:] == vocabulary.pad, 0.0)
        for k, value in zip(short, said_RT.sum(1).exp().tolist(), strict=True):
            found[k] = value
        return found


def canonical_keys(trained: Trained, crystals: Sequence[Crystal]) -> list[str]:
    """The canonical key of each crystal's string; empty where it has none."""
    representation = trained.components.representation
    return [representation.canonical_key(e.string) if e.ok else "" for e in representation.encode(crystals)]


def condition_of(question: Question, units: int) -> Crystal:
    """The atoms of a cell with so many formula units."""
    return numbers_only(np.repeat(question.elements, [count * units for count in question.counts]).astype(np.int64))
