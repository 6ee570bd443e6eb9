"""X-ray wavelengths by name, with the K-alpha doublet.

K-alpha 1 and 2 in angstrom from International Tables for Crystallography, vol. C (2004), table 4.2.2.1; K-alpha 2 has half
the intensity of K-alpha 1 (statistical weight of the levels).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from crystalfw.core.errors import DataError, did_you_mean

DOUBLETS = {
    "Cr": (2.28972600, 2.29365100), "Fe": (1.93604130, 1.93997300), "Co": (1.78899600, 1.79283500),
    "Ni": (1.65793010, 1.66175600), "Cu": (1.54059292, 1.54442740), "Mo": (0.70931713, 0.71360700),
    "Ag": (0.55942178, 0.56381310),
}  # fmt: skip
"""Anode -> K-alpha 1, K-alpha 2."""
SHORTEST, LONGEST = 0.1, 5.0
"""Wavelengths accepted, angstrom."""


@dataclass(frozen=True)
class Radiation:
    """Wavelengths (angstrom) with weights that sum to one; the strongest first."""

    name: str
    wavelengths: tuple[float, ...]
    weights: tuple[float, ...] = (1.0,)

    @property
    def mean(self) -> float:
        """Weighted mean wavelength in angstrom: that of an unresolved doublet."""
        return sum(w * x for w, x in zip(self.weights, self.wavelengths, strict=True))

    @property
    def first(self) -> Radiation:
        """The strongest component alone: what is left after the removal of K-alpha 2."""
        return Radiation(f"{self.name} without K-alpha 2", self.wavelengths[:1])


def radiation(name: str | float) -> Radiation:
    """`CuKa` (doublet), `CuKa1`, `CuKa2`, or one wavelength in angstrom. Raises DataError with the names there are."""
    text = str(name).strip()
    found = re.fullmatch(r"([A-Z][a-z]?)[_-]?[Kk](?:a|alpha|α)([12]?)", text)
    if found and found[1] in DOUBLETS:
        pair = DOUBLETS[found[1]]
        if not found[2]:
            return Radiation(text, pair, (2 / 3, 1 / 3))
        return Radiation(text, (pair[int(found[2]) - 1],))
    try:
        value = float(text)
    except ValueError as error:
        known = [f"{anode}Ka" for anode in DOUBLETS]
        hint = did_you_mean(text, known, "Names", cutoff=0.7)
        raise DataError(f"wavelength '{text}': neither a name nor a number in angstrom. {hint}") from error
    if not (math.isfinite(value) and SHORTEST <= value <= LONGEST):
        raise DataError(f"wavelength {text}: give angstrom, from {SHORTEST:g} to {LONGEST:g}")
    return Radiation(f"{value:g} A", (value,))
