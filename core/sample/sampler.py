"""Request -> strings -> crystals: a generator with its representation and its finalizing transforms, sampling.

Shapes: B conditions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch

from crystalfw.core.batch import CrystalBatch, Memory
from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import ConditionError, Reject
from crystalfw.core.interfaces import SequenceDecoder
from crystalfw.core.model.assembly import Components
from crystalfw.core.model.generator import Generator
from crystalfw.core.records import Decoded, Sample
from crystalfw.core.retrieval.lookup import Lookup, numbers_only
from crystalfw.core.sample.conditions import describe
from crystalfw.core.sample.engine import SampledString, sample_strings
from crystalfw.core.sample.request import Request
from crystalfw.core.sample.table import sample_id, status_of


class Sampler:
    """Strings and crystals of a trained generator, each from its own random stream."""

    def __init__(
        self, generator: Generator, components: Components, device: torch.device, lookup: Lookup | None = None
    ) -> None:
        self.generator, self.components, self.device, self.lookup = generator, components, device, lookup

    def strings(self, request: Request, indices: Sequence[int], streams_per_condition: int = 1) -> Iterator[SampledString]:
        """The strings of these random streams as they finish.

        The streams of a condition follow one another: stream s belongs to condition s // streams_per_condition.
        """
        decoder = self.generator.decoder
        assert isinstance(decoder, SequenceDecoder)
        per = streams_per_condition

        def memory_for(streams: Sequence[int]) -> Memory:
            if not request.asks and self.generator.condition_dropout:
                return self.generator.null_memory(len(streams))  # nothing is asked
            first = streams[0] // per
            numbers = range(first, streams[-1] // per + 1)
            memory = self.memory([request.nth_condition(number) for number in numbers])
            return memory.select(torch.tensor([stream // per - first for stream in streams], device=self.device))

        @cache
        def constraint(number: int) -> Mapping[str, Any]:
            return self.constraint(request, request.nth_condition(number))

        return sample_strings(
            decoder, self.generator.conditioning, self.components.representation, indices=indices,
            settings=replace(request.settings, n=-(-request.settings.n // request.settings.rows_per_condition) * per),
            seed=request.seed,
            memory_for=memory_for, null_memory=self._null_memory(),
            constraints_for=lambda streams: [constraint(stream // per) for stream in streams],
        )  # fmt: skip

    @torch.inference_mode()
    def memory(self, conditions: Sequence[Crystal | None]) -> Memory:
        """What the decoder sees of conditions; None stands for none."""
        blank = numbers_only(np.zeros(0, dtype=np.int64))
        batch = CrystalBatch.from_crystals([crystal or blank for crystal in conditions], dtype=torch.float32)
        if self.generator.encoder.cutoff is not None:
            batch = batch.with_edges(self.generator.encoder.cutoff)
        if self.generator.encoder.templates:
            assert self.lookup is not None, "a model that reads templates needs its lookup"
            batch = replace(batch, templates=self.lookup.batch([crystal or blank for crystal in conditions]))
        return self.generator.memory(batch.to(self.device))

    def _null_memory(self) -> Memory | None:
        """The unconditional side of guidance; None where the model was trained without it."""
        with torch.inference_mode():
            return self.generator.null_memory(1) if self.generator.condition_dropout else None

    def constraint(self, request: Request, condition: Crystal | None) -> Mapping[str, Any]:
        """The hard conditions of a sample with this condition. Raises ConditionError where it lacks what they need."""
        constraints = {**request.settings.constraints, **request.constraints}
        if constraints.get("composition") == "from_condition":
            if condition is None or not condition.n_atoms:
                raise ConditionError("constraints.composition: from_condition needs a condition that has a composition")
            from pymatgen.core import Element

            counts: dict[str, int] = {}
            for number in condition.numbers.tolist():
                symbol = Element.from_Z(number).symbol
                counts[symbol] = counts.get(symbol, 0) + 1
            constraints["composition"] = counts
        return constraints

    def crystals(self, request: Request, strings: Sequence[SampledString]) -> list[Sample]:
        """The outcome of streams_per_condition string: decoded, then finalized."""
        decoded = self.components.representation.decode([string.string for string in strings])
        return [self._sample(request, string, outcome) for string, outcome in zip(strings, decoded, strict=True)]

    def _sample(self, request: Request, string: SampledString, outcome: Decoded) -> Sample:
        crystal = outcome.crystal
        reason = ": ".join(filter(None, (outcome.reason, outcome.message)))
        if crystal is None:
            return self.failure(request, string, status_of(outcome.reason) if string.finished else "parse", reason)
        try:
            for transform in self.components.finalize:
                crystal = transform(crystal, np.random.default_rng([request.seed, string.index]))
        except Reject as error:
            return self.failure(request, string, "finalize", error.reason)
        return replace(self.failure(request, string, "ok", reason), crystal=crystal)

    def failure(self, request: Request, string: SampledString, status: str, reason: str) -> Sample:
        """The row of a string that gave no crystal."""
        requires = self.generator.encoder.requires if self.generator.uses_memory else frozenset()
        condition = request.condition(string.index)
        return Sample(
            id=sample_id(string.index), seed=request.seed, string=string.string, status=status, reason=reason, crystal=None,
            condition=describe(condition, requires) if condition is not None else {},
            reference_id=condition.id if condition is not None else "", log_prob=string.log_prob,
        )  # fmt: skip
