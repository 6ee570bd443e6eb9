"""samples.csv: what is written is read, kills lose one row at most, foreign tables are understood."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.records import Sample
from crystalfw.core.sample.export import extxyz, safe_name, write_cifs, write_extxyz
from crystalfw.core.sample.table import COLUMNS, SampleWriter, is_sample_table, read_samples, status_of, write_samples


def rock_salt(a: float = 5.64, id: str = "") -> Crystal:
    lattice = a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal(lattice=lattice, frac_coords=np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), numbers=np.array([11, 17]), id=id)


def made(id: str, crystal: Crystal | None = None, **changes) -> Sample:
    given = {"seed": 7, "string": "Na Cl 0 1 ooo", "status": "ok" if crystal else "graph", "reason": "" if crystal else "graph"}
    return Sample(id=id, crystal=crystal, **{**given, **changes})


def test_what_is_written_is_read(tmp_path):
    condition = {"band_gap": np.float64(2.0), "missing": float("nan"), "composition": {"Na": 1}}
    rows = [made("0", rock_salt(), condition=condition, reference_id="mp-1", log_prob=-1.25), made("1", string='say "x",\ny')]
    assert write_samples(rows, tmp_path / "samples.csv") == 2
    first, second = read_samples(tmp_path / "samples.csv")
    assert first.condition == {"band_gap": 2.0, "missing": None, "composition": {"Na": 1}}
    assert (first.id, first.seed, first.status, first.reference_id, first.log_prob) == ("0", 7, "ok", "mp-1", -1.25)
    assert first.crystal is not None
    np.testing.assert_allclose(first.crystal.volume, rock_salt().volume, rtol=1e-6)
    assert (second.crystal, second.status, second.reason, second.string) == (None, "graph", "graph", 'say "x",\ny')


def test_table_has_formula_and_space_group(tmp_path):
    write_samples([made("0", rock_salt())], tmp_path / "samples.csv")
    with open(tmp_path / "samples.csv", newline="") as file:
        row = next(csv.DictReader(file))
    assert tuple(row) == COLUMNS
    assert (row["formula"], row["space_group"]) == ("NaCl", "225")


@settings(deadline=None, max_examples=40)
@given(cut=st.integers(min_value=0, max_value=3000))
def test_a_kill_at_any_byte_loses_only_the_torn_row(cut, tmp_path_factory):
    path = tmp_path_factory.mktemp("kill") / "samples.csv"
    rows = [made(str(k), rock_salt(5 + k), log_prob=-float(k)) for k in range(3)]
    write_samples(rows, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    with SampleWriter(path, resume=True) as writer:
        assert writer.done == {str(k) for k in range(len(writer.done))}
        for row in rows:
            if row.id not in writer.done:
                writer.append(row)
    assert path.read_bytes() == whole


def test_a_torn_table_is_not_evaluated(tmp_path):
    path = tmp_path / "samples.csv"
    write_samples([made("0", rock_salt()), made("1", rock_salt())], path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="row 2"):
        list(read_samples(path))


def test_an_id_is_written_once(tmp_path):
    with SampleWriter(tmp_path / "samples.csv") as writer:
        writer.append(made("0"))
        with pytest.raises(DataError, match="twice"):
            writer.append(made("0"))


def test_somebody_elses_table_with_reference_ids(tmp_path):
    path = tmp_path / "other.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["reference_id", "cif"], ["mp-1", rock_salt().cif()], ["mp-2", "data_broken"], ["mp-3", ""]])
    path.write_text(path.read_text().rstrip("\n"))
    assert is_sample_table(path)
    good, broken, empty = read_samples(path)
    assert good.crystal is not None
    assert (good.status, good.reference_id) == ("ok", "mp-1")
    assert (broken.status, empty.status) == ("read", "read")
    assert "CIF" in broken.reason


def test_cifs_and_extxyz_are_read_back(tmp_path):
    path = tmp_path / "samples.csv"
    write_samples([made("a/../b", rock_salt()), made("failed"), made("c", rock_salt(6.0))], path)
    assert write_cifs(path, tmp_path / "cifs") == 2
    names = sorted(file.name for file in (tmp_path / "cifs").iterdir())
    assert names == [f"{safe_name('a/../b')}.cif", "c.cif"]
    assert write_extxyz(read_samples(path), tmp_path / "all.xyz") == 2
    io = pytest.importorskip("ase.io")
    frames = io.read(tmp_path / "all.xyz", index=":")
    assert [frame.get_chemical_formula() for frame in frames] == ["ClNa", "ClNa"]
    np.testing.assert_allclose(frames[1].cell.volume, rock_salt(6.0).volume, rtol=1e-6)
    np.testing.assert_allclose(frames[1].get_scaled_positions()[1], 0.5, atol=1e-6)


def test_extxyz_label_cannot_break_the_line():
    assert extxyz(rock_salt(), 'a"b\nc').splitlines()[1].count('id="abc"') == 1


@given(st.text())
def test_file_names_are_safe(text):
    name = safe_name(text)
    assert name
    assert "/" not in name
    assert not name.startswith(".")
    assert "\0" not in name
    assert len(name.encode()) < 200


def test_two_ids_never_share_a_file():
    ids = ["a/b", "a_b", "a b", "..a_b", "A_B", "x" * 300, "x" * 301, "", "é", "_"]
    assert len({safe_name(id) for id in ids}) == len(ids)
    assert safe_name("mp-1234.5_x") == "mp-1234.5_x"


@pytest.mark.parametrize(
    ("reason", "status"), [("parse", "parse"), ("graph: two components", "graph"), ("embedding", "decode"), ("", "decode")]
)
def test_status_of_a_reason(reason, status):
    assert status_of(reason) == status
