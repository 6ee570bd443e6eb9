"""What anybody could have had without training: the rows that stand beside every claim."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from crystalfw.core.contracts.component import Component
from crystalfw.core.crystal import Crystal
from crystalfw.core.records import Sample, Wanted


class Baseline(Component, ABC):
    """Training crystals and questions -> as many samples as were asked for. Constructor: `__init__(self, config)`.

    class First(Baseline):
        "The first training crystal, again and again."

        def samples(self, wanted, train, *, seed=0, say=print):
            for one in wanted:
                yield one.made(train[0])
    """

    needs_training: bool = True
    """False where it works without training crystals; core refuses the others with a sentence."""
    answers: bool = False
    """True where its crystals have the composition that is asked for; False where it draws whatever it likes."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def samples(
        self, wanted: Sequence[Wanted], train: Sequence[Crystal], *, seed: int = 0, say: Callable[[str], None] = print
    ) -> Iterator[Sample]:
        """One sample for each of `wanted`, in order, as `Wanted.made` or `Wanted.failed`: what cannot be answered is a
        failed sample with its reason. Equal arguments give equal samples. Raises DataError where nothing can be answered
        at all."""
