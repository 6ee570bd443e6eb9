"""Distances between distributions, against values by hand."""

from __future__ import annotations

import pytest

from crystalfw.core.errors import DataError
from crystalfw.plugins.metrics.distributions import Distributions, quantities
from tests.plugins.metrics.crystals import caesium_chloride, perovskite, rock_salt, sample


def compute(samples, reference, context, **options):
    return Distributions(Distributions.Config(**options)).compute(samples, reference, context)


def test_density_of_rock_salt():
    """NaCl, a = 5.64 angstrom: 2.165 g/cm3 in handbooks."""
    values = quantities(rock_salt(5.64))
    assert values["density"] == pytest.approx(2.165, abs=0.005)
    assert (values["elements"], values["atoms"]) == (2, 2)


def test_equal_sets_are_at_distance_zero(context):
    crystals = [rock_salt(), perovskite(), caesium_chloride()]
    result = compute([sample(str(k), crystal) for k, crystal in enumerate(crystals)], crystals, context)
    assert all(distance == pytest.approx(0, abs=1e-12) for distance in result["distances"].values())
    assert result["elements"]["samples"] == result["elements"]["reference"]
    assert result["elements"]["samples"]["Cl"] == pytest.approx(2 / 3, abs=1e-6)


def test_distance_of_two_points_is_their_difference(context):
    result = compute([sample("0", rock_salt(5.6))], [rock_salt(5.0)], context)
    assert result["distances"]["volume_per_atom"] == pytest.approx((5.6**3 - 5.0**3) / 8)
    assert result["distances"]["elements"] == 0


def test_population(context):
    samples = [sample("0", rock_salt(numbers=(56, 9))), sample("1", rock_salt()), sample("2", status="parse")]
    assert compute(samples, [], context)["samples"] == 1
    assert compute(samples, [], context, population="decoded")["samples"] == 2


def test_nothing_to_compare(context):
    result = compute([sample("0", status="parse")], [], context)
    assert set(result["distances"].values()) == {None}
    assert result["histograms"]["density"]["edges"] == []


def test_shares_of_a_histogram_add_up(context):
    crystals = [rock_salt(5 + 0.1 * k) for k in range(20)]
    result = compute([sample(str(k), crystal) for k, crystal in enumerate(crystals)], crystals[:5], context)
    for item in result["histograms"].values():
        assert sum(item["samples"]) == pytest.approx(1, abs=1e-4)
        assert sum(item["reference"]) == pytest.approx(1, abs=1e-4)
        assert len(item["edges"]) == len(item["samples"]) + 1


def test_population_is_checked():
    with pytest.raises(DataError, match="population"):
        Distributions(Distributions.Config(population="all"))
