"""Conditions: what may be asked for is what the model was trained with, and each refusal says what it takes."""

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import ConditionError, CrystalfwError
from crystalfw.core.sample.conditions import check_crystals, condition_crystal, describe, parse_composition, what_to_give
from crystalfw.core.sample.trained import Trained

GAP = frozenset({"properties.band_gap"})
SALT = Crystal(lattice=4 * np.eye(3), frac_coords=np.array([[0, 0, 0], [0.5] * 3]), numbers=np.array([11, 17]), id="salt")


def test_a_property():
    crystal = condition_crystal({"band_gap": "2.0"}, GAP)
    assert crystal.properties == {"band_gap": 2.0}
    assert crystal.n_atoms == 0


def test_a_composition():
    crystal = condition_crystal({"composition": "SrTiO3"}, frozenset({"composition"}))
    assert sorted(crystal.numbers.tolist()) == [8, 8, 8, 22, 38]
    assert np.isnan(crystal.lattice).all()


def test_space_group_has_a_short_name():
    crystal = condition_crystal({"space_group": 225}, frozenset({"properties.spacegroup.number"}))
    assert crystal.properties == {"spacegroup.number": 225.0}


@pytest.mark.parametrize(
    ("condition", "requires", "message"),
    [
        ({"density": 2}, GAP, r"not trained for the condition 'density'. It takes: band_gap"),
        ({"bandgap": 2}, GAP, r"'bandgap'. Did you mean 'band_gap'\?"),
        ({"band_gap": 2}, frozenset(), "it is unconditional"),
        ({"band_gap": "wide"}, GAP, "a number is needed"),
        ({"band_gap": "nan"}, GAP, "a finite number"),
        ({"space_group": 231}, frozenset({"properties.spacegroup.number"}), "1 to 230"),
        ({"composition": "NotAnElement"}, frozenset({"composition"}), "not a chemical formula"),
        ({"compositon": "NaCl"}, frozenset({"composition"}), "'compositon'. Did you mean 'composition'"),
        ({"composition": "Xx2O"}, frozenset({"composition"}), "'Xx' is not an element"),
        ({"composition": "Fe0.5O"}, frozenset({"composition"}), "whole numbers"),
        ({"composition": "NaCl"}, frozenset({"geometry"}), "--like FILE"),
        ({"band_gap": 1}, GAP | {"composition"}, "composition=FORMULA as well"),
        ({"band_gap": 1}, GAP | {"arrays.emb"}, "embeddings"),
    ],
)
def test_refusals(condition, requires, message):
    with pytest.raises(ConditionError, match=message):
        condition_crystal(condition, requires)


@pytest.mark.parametrize(
    ("requires", "words"),
    [
        ({"geometry"}, "whole crystals: give a CIF file, a table or a folder with --like FILE (in Python: like=)"),
        ({"composition"}, "--condition composition=FORMULA, or --like FILE (in Python: condition= or like=)"),
        ({"properties.band_gap", "properties.spacegroup.number"}, "--condition band_gap=VALUE --condition space_group=VALUE"),
    ],
)
def test_a_missing_condition_says_what_to_give(requires, words):
    assert words in what_to_give(frozenset(requires))


def test_what_is_optional_may_be_left_out():
    both = frozenset({"composition", "properties.gap"})
    crystal = condition_crystal({"gap": 2.0}, both, both)
    assert crystal.n_atoms == 0
    assert crystal.properties == {"gap": 2.0}
    with pytest.raises(ConditionError, match="composition"):
        condition_crystal({"gap": 2.0}, both, frozenset({"properties.gap"}))


def test_composition_counts():
    assert parse_composition("Ca(OH)2") == {"Ca": 1, "O": 2, "H": 2}


def test_crystals_must_hold_what_is_read():
    check_crystals([SALT], frozenset({"geometry"}), "salt.cif")
    with pytest.raises(ConditionError, match=r"salt\.cif: salt has no emb"):
        check_crystals([SALT], frozenset({"arrays.emb"}), "salt.cif")
    with pytest.raises(ConditionError, match="holds no crystal"):
        check_crystals([], frozenset({"geometry"}), "empty.csv")


def test_described_in_the_table():
    assert describe(SALT, frozenset({"geometry"})) == {"composition": "NaCl", "like": "salt"}
    assert describe(condition_crystal({"band_gap": 1.5}, GAP), GAP) == {"band_gap": 1.5}


def test_a_misspelt_setting_gets_a_suggestion():
    with pytest.raises(CrystalfwError, match=r"no setting 'temprature'. Did you mean 'temperature'\?"):
        Trained.sample(None, 3, temprature=0.5)
