"""What `crystalfw solve` is asked: a pattern with a formula, with elements, or a table of such questions; as formulas.

With elements only, every formula of the library's anonymous formulas is weighed by the known crystals that look alike:
each entry with as many elements votes for the formula that its elements, exchanged for the asked ones, would give; the nearer
the elements in Pettifor's order (D. Pettifor, J. Phys. C 19, 285 (1986); pymatgen's Mendeleev numbers), the more. Formulas
that common oxidation states can balance count FAVOUR times.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import ConditionError
from crystalfw.core.library.store import Library
from crystalfw.core.records import Question

NEAR = 6.0
"""Places in Pettifor's order over which a vote falls to 1/e."""
FAVOUR = 5.0
MAX_ELEMENTS = 6
"""Elements that a question without formula may name."""
SUBSET = 0.3
"""Weight of formulas that leave one of the elements out, which may be an impurity's or not there at all."""


def parse_elements(text: str) -> tuple[int, ...]:
    """Atomic numbers of `Fe,O,P` or `Fe-O-P`. Raises ConditionError naming what is no element."""
    from pymatgen.core import Element

    found = []
    for symbol in filter(None, re.split(r"[,\s;-]+", text)):
        if not Element.is_valid_symbol(symbol) or Element(symbol).Z > 103:
            raise ConditionError(f"elements '{text}': '{symbol}' is no element; write them as Fe,O,P")
        found.append(int(Element(symbol).Z))
    if not found or len(found) > MAX_ELEMENTS:
        raise ConditionError(f"elements '{text}': give one to {MAX_ELEMENTS} elements, such as Fe,O,P")
    return tuple(sorted(set(found)))


def formulas(elements: Sequence[int], library: Library, most: int = 40) -> list[tuple[Question, float]]:
    """The likeliest formulas of some elements with their probabilities, from the library's known crystals."""
    votes = _votes(tuple(elements), library)
    for left in elements if len(elements) > 2 else ():
        rest = tuple(z for z in elements if z != left)
        for slots, vote in _votes(rest, library).items():
            votes[slots] = votes.get(slots, 0.0) + SUBSET / len(elements) * vote
    weighed = {slots: vote * (FAVOUR if balanced(*slots) else 1.0) for slots, vote in votes.items()}
    total = sum(weighed.values()) or 1.0
    best = sorted(weighed.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [(Question(slots[0], slots[1]), weight / total) for slots, weight in best]


Slots = tuple[tuple[int, ...], tuple[int, ...]]


def _votes(elements: tuple[int, ...], library: Library) -> dict[Slots, float]:
    """(elements, counts) of formulas -> summed votes; one entry votes once for each formula, by its best exchange."""
    rows: defaultdict[tuple[int, ...], list[tuple[int, ...]]] = defaultdict(list)
    for row in range(len(library)):
        known, counts = library.slots(row)
        if len(known) == len(elements):
            rows[counts].append(known)
    order = _pettifor()
    found: dict[Slots, float] = {}
    for counts, members in rows.items():
        known_MK = order[np.array(members)]
        for way in set(itertools.permutations(elements)):
            slots = sorted(zip(counts, way, strict=True))
            key = (tuple(z for _, z in slots), tuple(count for count, _ in slots))
            distance = np.abs(known_MK - order[np.array(way)]).sum(1)
            found[key] = found.get(key, 0.0) + float(np.exp(-distance / NEAR).sum())
    return found


@lru_cache(maxsize=1)
def _pettifor() -> NDArray[np.float64]:
    """(Z,) place of each element in Pettifor's order."""
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array([0.0, *(float(Element.from_Z(z).mendeleev_no or z) for z in range(1, 119))])


@lru_cache(maxsize=200)
def _states(z: int) -> tuple[int, ...]:
    from pymatgen.core import Element

    element = Element.from_Z(z)
    return tuple(sorted({*element.common_oxidation_states, *element.icsd_oxidation_states}))


def balanced(elements: Sequence[int], counts: Sequence[int]) -> bool:
    """True where one oxidation state for each element sums to zero; also for elements and alloys of metals."""
    from pymatgen.core import Element

    if all(Element.from_Z(z).is_metal for z in elements):
        return True
    choices = [_states(z) or (0,) for z in elements]
    return any(sum(s * n for s, n in zip(way, counts, strict=True)) == 0 for way in itertools.product(*choices))
