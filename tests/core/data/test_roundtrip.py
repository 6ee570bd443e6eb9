"""Round trips count every crystal once, with the reason where it does not come back."""

from collections import Counter
from dataclasses import replace

import numpy as np

from crystalfw.core.data.roundtrip import NO_MATCH, round_trip, summary
from crystalfw.core.recipe.options import create
from crystalfw.core.records import Decoded, Encoded
from crystalfw.core.testing.crystals import small_crystals


class Forgetful:
    """Passes crystals through, but encodes no large one, fails on one string and returns another crystal for one."""

    def __init__(self, crystals):
        self.crystals = {crystal.id: crystal for crystal in crystals}

    def encode(self, crystals):
        return [Encoded(reason="size: too large") if c.n_atoms > 4 else Encoded(c.id) for c in crystals]

    def decode(self, strings):
        stretched = self.crystals[strings[0]]
        lattice = stretched.lattice @ np.diag([1.0, 1.0, 1.8])
        return [Decoded(replace(stretched, lattice=lattice)), Decoded(reason="geometry"), *map(self._back, strings[2:])]

    def _back(self, string):
        return Decoded(self.crystals[string])


def test_every_crystal_is_counted_with_its_reason():
    crystals = sorted(small_crystals(), key=lambda crystal: -crystal.n_atoms)
    assert [crystal.n_atoms > 4 for crystal in crystals] == [True, False, False, False]
    counts = round_trip(crystals, Forgetful(crystals))
    assert counts == Counter({"no string: size": 1, NO_MATCH: 1, "no crystal: geometry": 1, "strict": 1})
    assert summary(counts)[0] == "round trip of 4 crystals: 25.0% come back strictly, 25.0% loosely"


def test_simple_crystals_come_back():
    crystals = [crystal for crystal in small_crystals() if crystal.id != "triclinic"]  # random numbers, no compound
    assert round_trip(crystals, create("representation", "slices"))["strict"] == len(crystals)
