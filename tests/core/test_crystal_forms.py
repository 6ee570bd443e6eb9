"""A crystal in one line, compared, drawn, written and read again."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError


def broken(value: float = np.nan, number: int = 11) -> Crystal:
    return Crystal(lattice=np.full((3, 3), value), frac_coords=np.zeros((1, 3)), numbers=np.array([number]))


def test_one_line(rock_salt):
    salt = rock_salt
    assert repr(replace(salt, id="")) == f"Crystal(NaCl, {salt.n_atoms} atoms, Fm-3m, V={salt.volume:.1f})"
    assert repr(replace(salt, id="mp-22862")).endswith(", id=mp-22862)")


def test_broken_crystals_have_a_line_and_no_space_group():
    assert repr(broken()) == "Crystal(Na, 1 atom, V=nan)"
    assert repr(broken(0.0, number=-1)) == "Crystal(1 atom, V=0.0)"
    empty = Crystal(lattice=np.eye(3), frac_coords=np.zeros((0, 3)), numbers=np.zeros(0))
    assert repr(empty) == "Crystal(0 atoms, V=1.0)"
    assert [crystal.space_group for crystal in (broken(), broken(0.0), empty)] == [None] * 3
    assert all("<svg" not in crystal._repr_html_() for crystal in (broken(), broken(0.0), empty))


def test_space_group(rock_salt):
    group = rock_salt.space_group
    assert group == ("Fm-3m", 225)
    assert str(group) == "Fm-3m (225)"


def test_equality_by_value_and_hash(rock_salt):
    salt = replace(rock_salt, properties={"gap": np.nan}, arrays={"v": np.ones(2, dtype=np.float32)})
    copy = pickle.loads(pickle.dumps(salt))
    assert copy == salt
    assert len({salt, copy}) == 1
    assert hash(broken()) == hash(broken())
    assert broken() == broken()
    minus = replace(salt, lattice=salt.lattice * np.where(salt.lattice == 0, -1.0, 1.0))
    assert minus == salt
    assert hash(minus) == hash(salt)
    for other in (
        replace(salt, id="other"), replace(salt, frac_coords=salt.frac_coords + 1e-9), replace(salt, properties={}),
        replace(salt, arrays={"v": np.zeros(2, dtype=np.float32)}), replace(salt, lattice=salt.lattice * 1.01), "NaCl",
    ):  # fmt: skip
        assert salt != other


@pytest.mark.parametrize("name", ["a.cif", "POSCAR", "a.vasp", "a.extxyz", "a.json"])
def test_what_is_written_is_read_again(tmp_path, name, rock_salt):
    salt = rock_salt
    found = Crystal.from_file(salt.write(tmp_path / "new" / name))
    assert found.formula == "NaCl"
    assert found.n_atoms == salt.n_atoms
    assert found.volume == pytest.approx(salt.volume, rel=1e-6)
    assert found.space_group == salt.space_group


def test_files_that_cannot_be_written_or_read(tmp_path, rock_salt):
    with pytest.raises(DataError, match=r"a\.txt: its ending names no format; crystals are written as \.cif"):
        rock_salt.write(tmp_path / "a.txt")
    assert not (tmp_path / "a.txt").exists()
    with pytest.raises(DataError, match=r"b\.cif: no such file"):
        Crystal.from_file(tmp_path / "b.cif")
    frames = rock_salt.write(tmp_path / "two.extxyz")
    frames.write_text(frames.read_text() * 2)
    with pytest.raises(DataError, match="holds several crystals"):
        Crystal.from_file(frames)


def test_notebooks_draw_every_element_of_the_crystal(rock_salt):
    page = replace(rock_salt, id="<b>")._repr_html_()
    assert page.count("<circle") > 8  # corner and face atoms of the cell
    assert 'id="el11"' in page
    assert 'id="el17"' in page
    assert "<b>" not in page
