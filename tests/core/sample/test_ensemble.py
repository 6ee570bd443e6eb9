"""The average of several predictors: what the weights must hold."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crystalfw.core.sample.ensemble import averaged

NUMBERS = st.floats(-50, 50)
ERRORS = st.floats(0.01, 10)


def answer(values, errors):
    return np.array(values, dtype=float), np.array(errors, dtype=float)


@given(st.lists(st.tuples(NUMBERS, ERRORS), min_size=1, max_size=5))
def test_the_average_lies_between_its_members_and_so_does_its_error(members):
    values, errors = zip(*members, strict=True)
    found, stated = averaged([{"gap": answer([v], [e])} for v, e in members])["gap"]
    assert min(values) - 1e-6 <= found[0] <= max(values) + 1e-6
    assert min(errors) - 1e-6 <= stated[0] <= max(errors) + max(values) - min(values) + 1e-6


def test_a_member_counts_by_the_inverse_square_of_its_error():
    found, _ = averaged([{"gap": answer([0.0, 0.0], [1, 2])}, {"gap": answer([1.0, 1.0], [2, 1])}])["gap"]
    np.testing.assert_allclose(found, [0.2, 0.8])


def test_members_that_disagree_are_less_sure():
    stated = [averaged([{"gap": answer([0.0], [1])}, {"gap": answer([v], [1])}])["gap"][1][0] for v in (0.0, 2.0, 4.0)]
    np.testing.assert_allclose(stated, [1.0, 2**0.5, 5**0.5])


def test_members_without_errors_count_equally_and_columns_may_differ():
    one = {"gap": answer([0.0, 1.0], [np.nan, np.nan])}
    found = averaged([one, {"gap": answer([1.0, 2.0], [1, 1]), "energy": answer([3, 4], [1, 1])}])
    np.testing.assert_allclose(found["gap"][0], [0.5, 1.5])
    assert list(found) == ["gap", "energy"]
    np.testing.assert_allclose(found["energy"][0], [3, 4])
