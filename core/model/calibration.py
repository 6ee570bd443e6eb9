"""How large the errors of a predictor are: stated scales, stretched by one factor for each column and share of errors.

Split conformal prediction with normalised scores (Papadopoulos et al. 2002; Lei et al., JASA 113 (2018) 1094): of n validation
errors divided by their stated scale, the factor is the ceil((n + 1) share)-th smallest. For crystals like those of the
validation part, value +- factor * scale then holds at least that share of the true values.

Shapes: N crystals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

SHARES = (0.5, 0.8, 0.9, 0.95)
"""The shares of errors for which a checkpoint keeps a factor."""
SHARE = 0.9
Factors = dict[str, dict[str, float]]
"""Column -> share as text, e.g. "0.9" -> factor."""


def conformal_factors(error_N: NDArray[np.float64], scale_N: NDArray[np.float64]) -> dict[str, float]:
    """The factor of every share, from absolute errors and their stated scales; NaN leaves a crystal out. A share that so few
    crystals cannot support is left out."""
    score = np.sort(np.abs(error_N) / scale_N)
    score = score[np.isfinite(score)]
    ranks = {share: math.ceil((len(score) + 1) * share) for share in SHARES}
    return {str(share): float(score[rank - 1]) for share, rank in ranks.items() if rank <= len(score)}


def half_width(factors: Mapping[str, Mapping[str, float]], column: str, scale_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) half of the interval that holds 90 % of the errors, in the column's unit; NaN without a calibration."""
    factor = factors.get(column, {}).get(str(SHARE), math.nan)
    return np.asarray(factor * scale_N, dtype=np.float64)
