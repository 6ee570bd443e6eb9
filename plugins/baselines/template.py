"""Baseline `template`: the structure type that a retriever gives a composition, elements exchanged (`crystalfw predict`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import Reject
from crystalfw.core.interfaces import Baseline, Proposal, Question, Sample, Wanted
from crystalfw.core.library import Library
from crystalfw.core.library.entry import Entry, describe, slots_of
from crystalfw.core.predict.fitted import fitted, open_predictor
from crystalfw.core.predict.predictor import Predictor
from crystalfw.core.system.progress import track
from crystalfw.plugins.baselines.shared.needed import require


class Template(Baseline):
    """Retrieved templates. Fitting a retriever on 15,000 crystals takes minutes once; it is then kept in the user's cache."""

    answers = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `template`."""

        retriever: str = "structure_types"
        """Which retriever."""
        library: str | None = None
        """A library that was built before from the same training crystals, or what `library fit` wrote; default: made from
        them."""

    config: Config

    def samples(
        self, wanted: Sequence[Wanted], train: Sequence[Crystal], *, seed: int = 0, say: Callable[[str], None] = print
    ) -> Iterator[Sample]:
        """Raises DataError without training crystals."""
        require(train, "template")
        predictor = self._predictor(train, say)
        depth = 1 + max((one.rank for one in wanted), default=0)

        @lru_cache(maxsize=64)
        def proposals(numbers: tuple[int, ...]) -> list[Proposal]:
            elements, counts, units = slots_of(np.array(numbers))
            return predictor.answer(Question(elements, counts, (units,)), depth)

        for one in wanted:
            if not one.numbers:
                yield one.failed("no composition is asked for: the sample that it stands beside is no crystal")
                continue
            found = proposals(one.numbers)
            if one.rank < len(found):
                yield one.made(found[one.rank].crystal)
            else:
                yield one.failed("the library has no further structure type of this ratio and cell")

    def _predictor(self, train: Sequence[Crystal], say: Callable[[str], None]) -> Predictor:
        if self.config.library is not None:
            return open_predictor(self.config.library, self.config.retriever, say=say)
        entries: dict[str, Entry] = {}
        for crystal in track(train, "baseline template: library", len(train)):
            try:
                entry = describe(crystal)
            except Reject:
                continue  # without symmetry there is no structure type; the library's own builder leaves it out, too
            entries.setdefault(entry.key, entry)
        return fitted(Library.of(list(entries.values())), self.config.retriever, say=say)
