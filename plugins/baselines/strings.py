"""Baseline `strings`: strings drawn at random under the grammar, decoded. What the grammar alone is worth, without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.executor import chunks
from crystalfw.core.errors import ConditionError
from crystalfw.core.interfaces import Baseline, Representation, Sample, Wanted
from crystalfw.core.recipe.options import create
from crystalfw.core.recipe.schema import Count
from crystalfw.core.sample.table import status_of
from crystalfw.core.system.progress import Progress

BLOCK = 64
"""Strings written at a time; each block has its own random stream."""


class Strings(Baseline):
    """Every token that the grammar allows is equally likely; a composition that is asked for is a hard condition."""

    needs_training = False

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `strings`."""

        representation: str = "slices"
        """Whose grammar."""
        max_length: Count = 200
        """Longest string in tokens, begin and end included."""
        composition: bool = True
        """Write strings of the composition that is asked for."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.answers = config.composition

    def samples(
        self, wanted: Sequence[Wanted], train: Sequence[Crystal], *, seed: int = 0, say: Callable[[str], None] = print
    ) -> Iterator[Sample]:
        """The training crystals are not looked at."""
        representation: Representation = create("representation", self.config.representation)
        progress, done = Progress("baseline strings", len(wanted)), 0
        for number, block in enumerate(chunks(wanted, BLOCK)):
            rng = np.random.default_rng([seed, number])
            yield from self._block(representation, list(block), rng)
            done += len(block)
            progress.update(done)
        progress.close()

    def _block(self, representation: Representation, block: list[Wanted], rng: np.random.Generator) -> Iterator[Sample]:
        written, reasons = list[Wanted](), dict[str, str]()
        for one in block:
            try:
                representation.grammar(1, self.config.max_length, [self._condition(one)])
            except ConditionError as error:
                reasons[one.id] = f"grammar: {error}"
            else:
                written.append(one)
        strings = self._written(representation, [self._condition(one) for one in written], rng)
        outcomes = dict(
            zip((one.id for one in written), zip(strings, representation.decode(strings), strict=True), strict=True)
        )
        for one in block:
            if one.id in reasons:
                yield one.failed(reasons[one.id])
                continue
            string, decoded = outcomes[one.id]
            if decoded.crystal is not None:
                yield one.made(decoded.crystal, string)
            else:
                reason = ": ".join(filter(None, (decoded.reason, decoded.message))) or "decode"
                yield one.failed(reason, status_of(reason), string)

    def _condition(self, one: Wanted) -> dict[str, dict[str, int]]:
        if not self.config.composition or not one.numbers:
            return {}
        from pymatgen.core import Element

        numbers, counts = np.unique(one.numbers, return_counts=True)
        symbols = [Element.from_Z(int(number)).symbol for number in numbers]
        return {"composition": dict(zip(symbols, counts.tolist(), strict=True))}

    def _written(
        self, representation: Representation, conditions: list[dict[str, dict[str, int]]], rng: np.random.Generator
    ) -> list[str]:
        """One string for each condition, tokens drawn uniformly among those that the grammar allows."""
        if not conditions:
            return []
        state = representation.grammar(len(conditions), self.config.max_length, conditions)
        vocabulary = representation.vocabulary
        steps: list[NDArray[np.int64]] = []
        for _ in range(self.config.max_length):
            allowed = state.mask()
            ids = np.where(allowed, rng.random(allowed.shape), -1.0).argmax(1).astype(np.int64)
            steps.append(ids)
            if np.isin(ids, [vocabulary.end, vocabulary.pad]).all():
                break
            state.advance(ids)
        return [representation.detokenize(row.tolist()) for row in np.stack(steps, axis=1)]
