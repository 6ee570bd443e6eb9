"""Baseline `random`: training crystals drawn at random, whatever was asked for. What copying the data scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Baseline, Sample, Wanted
from crystalfw.plugins.baselines.shared.needed import require


class Random(Baseline):
    """Every training crystal once, in random order; then all of them again."""

    def samples(
        self, wanted: Sequence[Wanted], train: Sequence[Crystal], *, seed: int = 0, say: Callable[[str], None] = print
    ) -> Iterator[Sample]:
        """Raises DataError without training crystals."""
        require(train, "random")
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(train))
        for place, one in enumerate(wanted):
            if place and place % len(order) == 0:
                order = rng.permutation(len(train))
            yield one.made(train[int(order[place % len(order)])])
