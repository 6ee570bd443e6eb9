"""The order of an answer: a candidate that resembles one above it waits for another that does not."""

from __future__ import annotations

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Proposal
from crystalfw.core.predict.order import in_order

CRYSTAL = Crystal(lattice=3.0 * np.eye(3), frac_coords=np.zeros((1, 3)), numbers=np.array([29]))


def proposal(name: str, share: float, shape: float | None) -> Proposal:
    where = None if shape is None else np.full((1, 1, 8), shape, dtype=np.float32)
    return Proposal(CRYSTAL, share, name, "made up", 221, 1, shape=where)


def names(judged: list[Proposal], n: int) -> str:
    return "".join(found.template for found in in_order(judged, n))


def test_what_resembles_a_likelier_one_waits():
    judged = [proposal("a", 0.5, 1.0), proposal("b", 0.4, 1.05), proposal("c", 0.1, 2.0)]
    assert names(judged, 3) == names(judged[::-1], 3) == "acb"
    assert names(judged, 2) == "ac"
    assert [found.probability for found in in_order(judged, 3)] == [0.5, 0.1, 0.4]


def test_without_resemblance_the_likeliest_come_first():
    assert names([proposal("c", 0.1, 0.0), proposal("a", 0.5, 1.0), proposal("b", 0.4, 3.0)], 3) == "abc"
    assert names([proposal("b", 0.4, None), proposal("a", 0.5, 1.0)], 3) == "ab"
    assert in_order([], 3) == []
