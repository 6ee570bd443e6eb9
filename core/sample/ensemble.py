"""Several predictors as one: each column is the average of those that predict it, weighted by their stated errors.

A weight is the inverse square of half the member's 90 % interval of that crystal; members without one count equally. The
stated error of the average is that of a mixture, which grows where members disagree (Lakshminarayanan et al., 'Simple and
scalable predictive uncertainty estimation using deep ensembles', NeurIPS 2017, whose members count equally). Calibrated
again, its factor falls below one where the members err independently.

Shapes: N crystals, E members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Answers = Mapping[str, tuple[NDArray[np.floating], NDArray[np.floating]]]
"""Column -> values (N,) and stated errors (N,), both in the column's unit."""


def averaged(members: Sequence[Answers]) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The answers of all members as one; columns in the order of their first mention."""
    names = dict.fromkeys(name for answers in members for name in answers)
    return {name: _average([answers[name] for answers in members if name in answers]) for name in names}


def _average(
    answers: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values_EN = np.stack([np.asarray(values, dtype=np.float64) for values, _ in answers])
    error_EN = np.stack([np.asarray(error, dtype=np.float64) for _, error in answers])
    stated = np.isfinite(error_EN).all() and (error_EN > 0).all()
    error_EN = error_EN if stated else np.ones_like(error_EN)
    weight_EN = error_EN**-2 / (error_EN**-2).sum(axis=0)
    mean_N = (weight_EN * values_EN).sum(axis=0)
    variance_N = (weight_EN * (error_EN**2 + (values_EN - mean_N) ** 2)).sum(axis=0)
    return mean_N, np.sqrt(variance_N)
