"""Whatever holds crystals becomes crystals: Structure, Atoms, Crystal, path, a list of them."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from crystalfw.core.data.reading import as_crystals
from crystalfw.core.errors import ConditionError, DataError


def test_everything_that_holds_one_crystal_and_a_list_of_all(tmp_path, rock_salt):
    salt = rock_salt
    path = salt.write(tmp_path / "salt.cif")
    ones = [salt, salt.structure, path, str(path)]
    if find_spec("ase") is not None:  # an extra; without it there are no Atoms
        ones.append(salt.atoms)
    for one in ones:
        (found,) = as_crystals(one)
        assert found.formula == "NaCl"
        assert found.n_atoms == salt.n_atoms
    assert len(list(as_crystals(ones))) == len(ones)
    assert len(list(as_crystals(one for one in ones))) == len(ones)
    assert list(as_crystals([])) == []


def test_crystals_are_read_as_they_are_asked_for(tmp_path, rock_salt):
    waiting = as_crystals([rock_salt, tmp_path / "missing.cif"])
    assert next(waiting) == rock_salt
    with pytest.raises(DataError, match=r"item 1 of the list: .*missing\.cif: no such file or folder"):
        next(waiting)


def test_anything_else_is_a_sentence(tmp_path, rock_salt):
    with pytest.raises(DataError, match="int is no crystal; give a Crystal, a pymatgen Structure, ASE Atoms, a path"):
        list(as_crystals(7))
    with pytest.raises(DataError, match="item 1 of the list: dict is no crystal"):
        list(as_crystals([rock_salt, {}]))
    disordered = rock_salt.structure
    disordered[0] = {"Na": 0.5, "K": 0.5}
    with pytest.raises(DataError, match="item 0 of the list: partial occupancy on site"):
        list(as_crystals([disordered]))
    (tmp_path / "x.cif").write_text("no cif")
    with pytest.raises(ConditionError, match=r"x\.cif: broken CIF"):
        list(as_crystals(tmp_path / "x.cif"))
