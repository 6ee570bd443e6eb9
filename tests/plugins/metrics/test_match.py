"""Match rates: denominators, the best of n, METRe, tolerances."""

from __future__ import annotations

import pytest

from crystalfw.core.errors import DataError
from crystalfw.plugins.metrics.match import Match
from tests.plugins.metrics.crystals import caesium_chloride, moved, perovskite, rock_salt, sample

REFERENCE = [rock_salt(id="salt"), perovskite(id="perovskite"), caesium_chloride(id="chloride")]


def compute(samples, context, reference=REFERENCE, **options):
    return Match(Match.Config(**options)).compute(samples, reference, context)


def test_denominator_is_every_reference_asked_for(context):
    samples = [
        sample("0", moved(rock_salt()), reference_id="salt"),
        sample("1", status="parse", reason="parse", reference_id="perovskite"),
    ]
    result = compute(samples, context)
    figures = result["loose"]["n=1"]
    assert (figures["count"], figures["of"], figures["share"]) == (1, 2, 0.5)
    assert figures["rate_of_all"] == pytest.approx(1 / 3)
    assert figures["rmse"] == pytest.approx(0.0, abs=1e-6)
    assert result["references_asked"] == 2


def test_best_of_n_and_tolerances(context):
    samples = [
        sample("0", rock_salt(numbers=(11, 17)), reference_id="perovskite"),
        sample("1", perovskite(shift=0.5), reference_id="perovskite"),
        sample("2", perovskite(shift=0.2), reference_id="perovskite"),
    ]
    result = compute(samples, context, n=(1, 2, 3, 50))
    assert [result["loose"][f"n={n}"]["count"] for n in (1, 2, 3)] == [0, 1, 1]
    assert "n=50" not in result["loose"]
    rmse = [result["loose"][f"n={n}"]["rmse"] for n in (2, 3)]
    assert rmse[1] == pytest.approx(0.4 * rmse[0], rel=0.02)
    assert result["strict"]["n=3"]["count"] == 1


def test_equal_samples_are_compared_once_and_count_each(context):
    made = [(REFERENCE[0], "salt"), (REFERENCE[0], "salt"), (moved(rock_salt()), "salt"), (REFERENCE[0], "chloride")]
    samples = [sample(str(k), crystal, reference_id=id) for k, (crystal, id) in enumerate(made)]
    result = compute(samples, context, n=(1, 2, 3))
    assert result["trouble"]["compared"] == 2
    assert [result["loose"][f"n={n}"]["count"] for n in (1, 2, 3)] == [1, 1, 1]
    assert result["outcomes"]["loose.n=1"] == {"salt": 1.0, "chloride": 0.0}


def test_rmse_by_hand(context):
    """One of five atoms displaced by d: after removing the mean shift, rms = d sqrt(4/25) ... / (V/N)^(1/3)."""
    shift, a = 0.3, 3.9
    result = compute([sample("0", perovskite(a, shift=shift), reference_id="perovskite")], context)
    by_hand = shift * ((0.8**2 + 4 * 0.2**2) / 5) ** 0.5 / (a**3 / 5) ** (1 / 3)
    assert result["loose"]["n=1"]["rmse"] == pytest.approx(by_hand, rel=1e-6)


def test_loose_is_wider_than_strict(context):
    """A displacement between the two tolerances' stol matches loosely only."""
    scale = (3.9**3 / 5) ** (1 / 3)
    shift = 0.38 * scale / 0.4
    result = compute([sample("0", perovskite(shift=shift), reference_id="perovskite")], context)
    assert (result["loose"]["n=1"]["count"], result["strict"]["n=1"]["count"]) == (1, 0)


def test_metre_takes_any_sample(context):
    samples = [sample("0", moved(perovskite())), sample("1", perovskite(shift=0.3)), sample("2", rock_salt())]
    metre = compute(samples, context)["loose"]["metre"]
    assert (metre["count"], metre["of"]) == (2, 3)
    assert metre["rmse"] == pytest.approx(0, abs=1e-6)
    assert metre["crmse"] == pytest.approx(0.5 / 3, abs=1e-6)
    strict = compute(samples, context)["strict"]["metre"]
    assert strict["crmse"] == pytest.approx(0.3 / 3, abs=1e-6)


def test_validity_is_asked_of_both_sides_at_n_1(context):
    reference = [rock_salt(numbers=(56, 9), id="charged")]
    samples = [sample(str(k), rock_salt(numbers=(56, 9)), reference_id="charged") for k in range(2)]
    result = compute(samples, context, reference)
    assert result["loose"]["n=1"]["count"] == 1
    assert result["loose"]["n=1"]["valid"]["count"] == 0
    assert result["loose"]["n=2"]["valid"]["count"] == 0


def test_a_sample_of_no_known_reference_is_counted(context):
    result = compute([sample("0", rock_salt(), reference_id="elsewhere")], context)
    assert result["samples_of_unknown_reference"] == 1
    assert "n=1" not in result["loose"]


def test_a_pair_that_takes_too_long_is_counted(context):
    pytest.importorskip("signal").__dict__.get("setitimer") or pytest.skip("no interval timer")
    result = compute([sample("0", moved(perovskite()), reference_id="perovskite")], context, time_limit=1e-4)
    assert result["trouble"]["timeout"] == 1
    assert result["loose"]["n=1"]["count"] == 0


def test_too_many_pairs_are_left_out_with_the_reason(context):
    result = compute([sample("0", rock_salt())], context, max_pairs=0)
    assert "max_pairs" in result["loose"]["metre"]["left_out"]


def test_options_are_checked():
    with pytest.raises(DataError, match="from 1"):
        Match(Match.Config(n=(0,)))
