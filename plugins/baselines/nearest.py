"""Baseline `nearest`: the training crystal of the same ratio whose elements are most alike, elements exchanged.

Alike in electronegativity (Pauling) and radius (angstrom): the mean squared difference over the atoms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Sample, Wanted
from crystalfw.plugins.baselines.shared.families import MAX_Z, Answering, Costs, Exchanger, Families
from crystalfw.plugins.baselines.shared.needed import require


class Nearest(Answering):
    """Nearest by composition; the second sample of a question takes the second nearest crystal."""

    def samples(
        self, wanted: Sequence[Wanted], train: Sequence[Crystal], *, seed: int = 0, say: Callable[[str], None] = print
    ) -> Iterator[Sample]:
        """Raises DataError without training crystals."""
        require(train, "nearest")
        yield from self.answered(wanted, Families(train), Exchanger(train), element_distances())


def element_distances() -> Costs:
    """(Z, Z) squared difference of electronegativity and radius; unknown values count as 2.0 and 1.5 angstrom."""
    features = np.array([_features(number) for number in range(MAX_Z)])
    distances: Costs = ((features[:, None] - features[None]) ** 2).sum(-1)
    return distances


def _features(number: int) -> tuple[float, float]:
    import warnings

    from pymatgen.core import Element

    if not 1 <= number <= 118:
        return 2.0, 1.5
    element = Element.from_Z(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns for every noble gas that it has no electronegativity
        negativity = float(element.X)
        radius = element.atomic_radius_calculated or element.atomic_radius or 1.5
    return (2.0 if math.isnan(negativity) else negativity), float(radius)
