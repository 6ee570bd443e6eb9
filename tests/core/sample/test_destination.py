"""`-o` by its ending: table, folder, or one file of all crystals; CIF files with symmetry where asked."""

from __future__ import annotations

import pytest

from crystalfw.core.data.reading import read_crystals
from crystalfw.core.errors import DataError
from crystalfw.core.sample.destination import Destination, destination, write_crystals
from crystalfw.core.sample.table import write_samples
from crystalfw.core.testing.crystals import small_crystals
from tests.plugins.metrics.crystals import caesium_chloride, rock_salt, sample


@pytest.fixture
def table(tmp_path):
    made = [sample("000000", rock_salt()), sample("000001", caesium_chloride())]
    write_samples(made, tmp_path / "out.csv")
    return tmp_path / "out.csv"


@pytest.mark.parametrize("ending", [".cif", ".extxyz", ".xyz", ".json"])
def test_one_file_of_all_crystals_reads_back(ending, table):
    place = destination(table.with_suffix(ending))
    assert place == Destination(table, table.with_suffix(ending))
    assert write_crystals(table, place.crystals) == f"2 crystals in {place.crystals}"
    found = list(read_crystals(place.crystals))
    assert [crystal.formula for crystal in found] == ["NaCl", "CsCl"]
    for crystal, before in zip(found, (rock_salt(), caesium_chloride()), strict=True):
        assert abs(crystal.volume - before.volume) < 1e-3
    if ending == ".json":
        assert [crystal.id for crystal in found] == ["000000", "000001"]


def test_folders_and_tables(tmp_path):
    (tmp_path / "there.d").mkdir()
    assert destination(f"{tmp_path}/new/").table == tmp_path / "new" / "samples.csv"
    assert destination(tmp_path / "plain").crystals == tmp_path / "plain" / "cifs"
    assert destination(tmp_path / "there.d").table == tmp_path / "there.d" / "samples.csv"
    assert destination(tmp_path / "a.csv") == Destination(tmp_path / "a.csv", tmp_path / "a_cifs")


@pytest.mark.parametrize("name", ["a.txt", "a.vasp", "a.csv.gz"])
def test_an_unknown_ending_is_refused(name):
    with pytest.raises(DataError, match=r"names no format; give \.csv, \.cif"):
        destination(name)


def test_cif_files_with_the_symmetry_that_is_asked_for(table, tmp_path):
    assert write_crystals(table, tmp_path / "plain") == f"2 CIF files in {tmp_path / 'plain'}"
    write_crystals(table, tmp_path / "sym", 0.1)
    plain, symmetric = ((tmp_path / name / "000000.cif").read_text() for name in ("plain", "sym"))
    assert "'P 1'" in plain
    assert symmetric.startswith("# Fm-3m (225) found with symprec = 0.1 angstrom")
    assert "Fm-3m" in symmetric.partition("\n")[2]
    (crystal,) = read_crystals(tmp_path / "sym" / "000000.cif")
    assert str(crystal.space_group) == "Fm-3m (225)"
    assert crystal.volume / crystal.n_atoms == pytest.approx(rock_salt().volume / rock_salt().n_atoms, rel=1e-4)


def test_a_crystal_without_symmetry_says_so(tmp_path):
    (triclinic,) = (crystal for crystal in small_crystals() if crystal.id == "triclinic")
    text = triclinic.write(tmp_path / "odd.cif", symprec=0.01).read_text()
    assert text.startswith("# P1: no symmetry found with symprec = 0.01 angstrom")
    assert "'P 1'" in text
