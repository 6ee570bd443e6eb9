"""What `conditional` says where it cannot judge, and of predictors that are no better than the median."""

from __future__ import annotations

from crystalfw.plugins.metrics.conditional import Conditional, _nothing_judged

POOR = {"mae": 2.194418050742808, "mae_of_the_median": 2.157}


def test_a_missing_predictor_names_the_two_commands():
    said = _nothing_judged(["my_prop"], None)
    assert "crystalfw run regress data.path=TABLE 'model.decoder.columns=[my_prop]'" in said
    assert "--metrics conditional:predictor=runs/regress" in said
    assert "runs/other does not predict my_prop" in _nothing_judged(["my_prop"], "runs/other")
    assert "no sample was asked" in _nothing_judged([], None)


def test_a_predictor_worse_than_the_median_is_said_in_round_numbers():
    figures = {"hit": {"count": 1, "of": 2, "share": 0.5, "low": 0.1, "high": 0.9}, "mae": 1.0, "mae_by_chance": 2.0}
    for error, warned in ((POOR, True), ({"mae": 1.0, "mae_of_the_median": 2.0}, False), ({}, False)):
        result = {"columns": {"my_prop": {**figures, "predictor_test_error": error}}}
        (note,) = (figure.note for figure in Conditional.headline(result) if figure.key.endswith(".mae"))
        assert ("no better than always saying the median (test MAE 2.19 against 2.16)" in note) == warned
        assert "2.194418" not in note
