"""Conditions outside of the training range are warned of, those inside are not."""

import numpy as np

from crystalfw.core.sample.conditions import condition_crystal
from crystalfw.core.sample.training_range import training_ranges, warnings_outside

BOTH = frozenset({"composition", "properties.gap"})
RANGES = training_ranges(np.array([2, 7]), {"gap": np.array([1.0, np.nan, 18.4]), "empty": np.array([np.nan, np.nan])})


def warned(ranges=RANGES, **condition):
    return warnings_outside([condition_crystal(condition, BOTH)], BOTH, ranges)


def test_warnings_name_the_range():
    assert RANGES == {"atoms": [2, 7], "properties": {"gap": [1.0, 18.4]}}
    assert warned(composition="LiFePO4", gap=1) == []
    assert warned(composition="NaCl", gap=500) == ["warning: gap=500 is outside of the training range, 1 to 18.4"]
    assert "8 atoms in the cell; the largest cell in training has 7" in warned(composition="Na3SbS4")[0]


def test_a_model_without_ranges_is_silent():
    assert warned({}, composition="Na3SbS4", gap=500) == []
