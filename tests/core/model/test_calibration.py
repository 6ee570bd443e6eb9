"""Intervals hold the share of errors that they state, whatever the scales and the distribution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalfw.core.model.calibration import SHARES, conformal_factors, half_width


def test_the_factor_is_the_rank_that_the_theorem_asks_for():
    error = np.arange(1.0, 100.0)
    factors = conformal_factors(error, np.ones(99))
    assert factors == {"0.5": 50.0, "0.8": 80.0, "0.9": 90.0, "0.95": 95.0}


@given(st.integers(0, 2**31), st.sampled_from(SHARES))
def test_on_its_own_crystals_at_least_the_share_is_inside(seed, share):
    rng = np.random.default_rng(seed)
    scale = np.exp(rng.normal(size=60))
    error = scale * rng.standard_t(2, size=60)
    factor = conformal_factors(error, scale)[str(share)]
    assert (np.abs(error) <= factor * scale).mean() >= share


def test_fresh_errors_are_inside_as_often_as_stated():
    rng = np.random.default_rng(0)
    scale = np.exp(rng.normal(size=4000))
    error = scale * rng.laplace(size=4000)
    factors = {"x": conformal_factors(error[:2000], scale[:2000])}
    inside = np.abs(error[2000:]) <= half_width(factors, "x", scale[2000:])
    assert 0.88 < inside.mean() < 0.92


def test_too_few_and_missing_values():
    assert "0.95" not in conformal_factors(np.ones(5), np.ones(5))
    assert conformal_factors(np.full(5, np.nan), np.ones(5)) == {}
    assert np.isnan(half_width({}, "x", np.ones(3))).all()
    with_gaps = conformal_factors(np.array([1.0, np.nan, 2.0] * 20), np.ones(60))
    assert with_gaps == pytest.approx(conformal_factors(np.array([1.0, 2.0] * 20), np.ones(40)))
