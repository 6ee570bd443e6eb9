"""Baseline `prototype`: the AFLOW prototypes that pymatgen ships, decorated with ions; it needs no training crystals.

Without a question the decorations of the source `prototypes` are drawn at random. A composition is answered with the
prototypes of its ratio, the one with the most similar elements first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.reading import read_crystals
from crystalfw.core.interfaces import Sample, Source, Wanted
from crystalfw.core.recipe.options import create
from crystalfw.core.recipe.schema import Bounds
from crystalfw.plugins.baselines.nearest import element_distances
from crystalfw.plugins.baselines.shared.families import Answering, Exchanger, Families


class Prototype(Answering):
    """Decorated prototypes."""

    needs_training = False

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `prototype`."""

        free: bool = False
        """Draw decorations at random even where a composition is asked for."""
        max_atoms: Annotated[int, Bounds(2)] = 20
        """Largest prototype, atoms per cell."""
        per_prototype: Annotated[int, Bounds(1)] = 15
        """Decorations of each prototype to draw from."""

    def samples(
        self, wanted: Sequence[Wanted], train: Sequence[Crystal], *, seed: int = 0, say: Callable[[str], None] = print
    ) -> Iterator[Sample]:
        """The training crystals are not looked at."""
        known = self._crystals(self.config.per_prototype if self.free else 0)
        if not self.free:
            yield from self.answered(wanted, Families(known), Exchanger(known), element_distances())
            return
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(known))
        for place, one in enumerate(wanted):
            yield one.made(known[int(order[place % len(order)])])

    def _crystals(self, per_prototype: int) -> list[Crystal]:
        options = {"max_atoms": self.config.max_atoms, "per_prototype": per_prototype}
        source: Source = create("source", "prototypes", options, path=None)
        return [item for item in read_crystals(source) if isinstance(item, Crystal)]
