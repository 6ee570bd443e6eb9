"""Atomic scattering factors of X-rays: f(s) = Z - 41.78214 s^2 sum_i a_i exp(-b_i s^2), s = sin(theta) / wavelength.

Parameters: table of pymatgen (`atomic_scattering_params.json`, MIT licence), read from the installed package; its source is
L.-M. Peng, G. Ren, S. L. Dudarev, M. J. Whelan, Acta Cryst. A52, 257 (1996) with the Mott-Bethe formula. Anomalous
dispersion is left out, as in pymatgen's XRDCalculator.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import DataError

S2_STEP = 5e-4
"""Step of the table in s^2 (1 / angstrom^2); linear between its points, which errs by less than 1e-4 electrons x a_i."""
S2_MAX = 4.0
MOTT_BETHE = 41.78214
"""8 pi^2 m e^2 / h^2 in 1 / angstrom."""


@lru_cache(maxsize=1)
def form_factors() -> NDArray[np.float64]:
    """(Z, P) scattering factor of each atomic number at s^2 = 0, S2_STEP, ... S2_MAX; NaN for an element not tabulated."""
    from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS
    from pymatgen.core import Element

    s2 = np.arange(0, S2_MAX + 1.5 * S2_STEP, S2_STEP)
    table = np.full((120, len(s2)), np.nan)
    for symbol, parameters in ATOMIC_SCATTERING_PARAMS.items():
        a, b = np.asarray(parameters, dtype=np.float64).T
        z = Element(symbol).Z
        table[z] = z - MOTT_BETHE * s2 * (a[:, None] * np.exp(-b[:, None] * s2)).sum(0)
    return table


def check_elements(numbers: NDArray[np.int64]) -> None:
    """Raise DataError for an element without scattering factors."""
    table = form_factors()
    for z in np.unique(numbers):
        if not 0 < z < len(table) or np.isnan(table[z, 0]):
            raise DataError(f"no scattering factors for the element of atomic number {z}; its pattern cannot be computed")
