"""The one reader of strangers' crystals: streamed, bounded, only as far as it is asked."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import islice

import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.reading import MAX_ATOMS, open_source, read_crystals, read_like
from crystalfw.core.errors import ConditionError
from crystalfw.core.records import Rejected
from crystalfw.core.testing.crystals import small_crystals

SALT = small_crystals()[0]


def table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["material_id", "cif"], *rows])
    return path


def test_a_broken_row_is_set_aside_in_its_place(tmp_path):
    rows = table(tmp_path / "x.csv", [["a", SALT.cif()], ["b", "data_nothing"], ["c", SALT.cif()]])
    first, broken, last = read_crystals(rows)
    assert (first.id, last.id) == ("a", "c")
    assert isinstance(broken, Rejected)
    assert (broken.row, broken.id) == (2, "b")


def test_bounds_hold_for_every_reader(tmp_path):
    rows = table(tmp_path / "x.csv", [["a", SALT.cif()]])
    (item,) = read_crystals(open_source(rows), max_atoms=SALT.n_atoms - 1)
    assert isinstance(item, Rejected)
    assert "atoms in the cell as given" in item.reason
    assert SALT.n_atoms <= MAX_ATOMS


def test_one_part_of_several_or_all_where_there_is_no_such_part(tmp_path):
    for part in ("train", "val"):
        table(tmp_path / f"{part}.csv", [[part, SALT.cif()]])
    assert [item.id for item in read_crystals(tmp_path, part="val")] == ["val"]
    assert [item.id for item in read_crystals(tmp_path, part="test")] == ["train", "val"]
    assert [item.id for item in read_crystals(tmp_path)] == ["train", "val"]


def test_conditions_are_read_only_as_far_as_they_are_needed(tmp_path):
    rows = table(tmp_path / "x.csv", [["a", SALT.cif()], ["b", SALT.cif()], ["c", "data_nothing"]])
    assert [crystal.id for crystal in islice(read_like(rows), 2)] == ["a", "b"]
    with pytest.raises(ConditionError, match=r"x.csv, row 3: broken CIF"):
        list(read_like(rows))


def test_a_condition_without_id_is_named_after_its_file(tmp_path):
    rows = table(tmp_path / "salt.csv", [["", replace(SALT, id="").cif()]])
    (crystal,) = read_like(rows)
    assert isinstance(crystal, Crystal)
    assert crystal.id == "salt"
