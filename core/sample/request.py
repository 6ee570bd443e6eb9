"""What is asked of a model: settings, seed, conditions, constraints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.recipe.schema import SampleSection
from crystalfw.core.sample.drawn import Drawing
from crystalfw.core.sample.judge import Judge

DECODE_BLOCK = 64
"""Strings are decoded in blocks of so many consecutive indices."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to generate. Sample k of the request uses condition k modulo their number and the random stream (seed, k).

    In a prediction (core/sample/prediction.py) every condition has `settings.rows_per_condition` samples, one after the other.
    """

    settings: SampleSection
    seed: int = 0
    conditions: tuple[Crystal, ...] = ()
    constraints: Mapping[str, Any] = field(default_factory=dict)
    drawing: Drawing | None = None
    """Fills in what conditions leave open, for each condition anew."""
    judge: Judge | None = None
    """Chooses among the candidates of a prediction."""

    def condition(self, index: int) -> Crystal | None:
        """The condition of sample `index`; None for an unconditional request."""
        return self.nth_condition(index // self.settings.rows_per_condition)

    @property
    def block(self) -> int:
        """So many consecutive samples are decoded together."""
        return self.settings.rows_per_condition if self.settings.is_prediction else DECODE_BLOCK

    def nth_condition(self, number: int) -> Crystal | None:
        """Condition `number`, from the first again after the last; None for an unconditional request."""
        given = self.conditions[number % len(self.conditions)] if self.conditions else None
        return self.drawing.over(given, self.seed, number) if self.drawing else given

    @property
    def asks(self) -> bool:
        """True where samples have a condition."""
        return bool(self.conditions or self.drawing)


def needed_conditions(settings: SampleSection, n: int | None) -> int | None:
    """How many conditions `n` samples use; where n is not given, None for a prediction: it uses all there are."""
    if n is None and settings.is_prediction:
        return None
    return max(1, -(-(settings.n if n is None else n) // settings.rows_per_condition))


def default_count(settings: SampleSection, conditions: int) -> int:
    """How many samples a request has that does not say: in a prediction all that its conditions need."""
    return settings.rows_per_condition * max(1, conditions) if settings.is_prediction else settings.n
