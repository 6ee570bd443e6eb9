"""A property predictor chooses among the candidates of a condition: those nearest to what is asked go first.

What it chose must be judged by another predictor: errors that both share, and samples that please the chooser by its
mistakes, count as hits otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import ConditionError
from crystalfw.core.records import Sample
from crystalfw.core.sample.conditions import SPACE_GROUP

NONE = "none"
"""Instead of a predictor's name: the recipe's own is not used."""


class Predictor(Protocol):
    """What a judge needs of a trained model."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The property columns that it predicts."""

    def prepared(self, crystal: Crystal, origin: str) -> Crystal:
        """The crystal as its training crystals were prepared. Raises ConditionError for one that cannot be used."""

    def predict_with_errors(self, crystals: Sequence[Crystal]) -> Mapping[str, tuple[NDArray[Any], NDArray[Any]]]:
        """Column -> values (N,) and half of the 90 % interval (N,) of N crystals."""


class Judge:
    """The predictor of this name, loaded when something is asked that it may predict."""

    def __init__(self, name: str, load: Callable[[str], Predictor]) -> None:
        """`load` finds a trained model by its name; it raises CheckpointError where there is none."""
        self.name, self._load = name, load

    @cached_property
    def predictor(self) -> Predictor:
        """The model. Raises CheckpointError where there is none of that name."""
        return self._load(self.name)

    def asked(self, condition: Crystal | None) -> dict[str, float]:
        """Column -> value of what a condition asks and the model predicts; empty for a condition without numbers."""
        given = {} if condition is None else condition.properties
        numbers = {name: value for name, value in given.items() if name != SPACE_GROUP and not math.isnan(value)}
        known = self.predictor.targets if numbers else ()
        return {name: value for name, value in numbers.items() if name in known}

    def nearest_first(self, samples: Sequence[Sample], asked: Mapping[str, float]) -> list[Sample]:
        """Samples with crystals, the nearest to `asked` first; those that cannot be predicted last, in the order given."""
        distance_S = self.distances([sample.crystal for sample in samples if sample.crystal is not None], asked)
        return [samples[k] for k in np.argsort(distance_S, kind="stable")]

    def distances(self, crystals: Sequence[Crystal], asked: Mapping[str, float]) -> NDArray[np.float64]:
        """(S,) how far each crystal may be from what is asked: |predicted - asked| plus half the predictor's 90 % interval, in
        the median of these halves, summed over the columns; inf where a crystal cannot be predicted.

        The far end of the interval counts, because the smallest of many distances is mostly one that is predicted wrongly."""
        distance_S = np.full(len(crystals), np.inf)
        usable = [k for k, crystal in enumerate(crystals) if self._usable(crystal)]
        if not usable or not asked:
            return distance_S
        found = self.predictor.predict_with_errors([crystals[k] for k in usable])
        total_U = np.zeros(len(usable))
        for name, value in asked.items():
            values_U, half_U = found[name]
            half_U = np.where(np.isfinite(half_U), half_U, 0.0)  # of a predictor that was never calibrated
            total_U += (np.abs(values_U - value) + half_U) / (float(np.median(half_U)) or 1.0)
        distance_S[usable] = np.where(np.isfinite(total_U), total_U, np.inf)
        return distance_S

    def _usable(self, crystal: Crystal) -> bool:
        """False for a crystal that the predictor's transforms refuse."""
        try:
            self.predictor.prepared(crystal, "a candidate")
        except ConditionError:
            return False
        return True
