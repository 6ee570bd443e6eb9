from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from crystalfw.core.commands.cli import main
from crystalfw.core.testing.crystals import small_crystals


@pytest.fixture
def folder(tmp_path) -> Path:
    for crystal in small_crystals():
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{crystal.id}.cif").write_text(crystal.cif())
    return tmp_path / "in"


def test_check_says_what_is_there(folder, capsys):
    assert main(["data", "check", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "4 crystals: train 4" in out
    assert "4 formulas" in out
    assert "1 to 5 atoms per cell" in out
    assert "round trip of 4 crystals: " in out


def test_check_lists_what_is_wrong(folder, tmp_path, capsys):
    (folder / "bad.cif").write_text("data_x\n")
    assert main(["data", "check", str(folder), "--rejected", str(tmp_path / "r.csv"), "--max-atoms", "4"]) == 1
    out = capsys.readouterr().out
    assert "2 rejected, listed in" in out
    with open(tmp_path / "r.csv", newline="") as stream:
        assert sorted(Path(row["file"]).name for row in csv.DictReader(stream)) == ["SrTiO3.cif", "bad.cif"]


def test_check_as_json_has_what_the_text_says(folder, capsys):
    (folder / "bad.cif").write_text("data_x\n")
    assert main(["data", "check", str(folder), "--json", "data.max_atoms=4", "representation.dialect=rigid"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["crystals"] == {"train": 3}
    assert sum(found["set_aside"].values()) == 2
    assert found["atoms"] == {"min": 1, "max": 4}
    assert sum(found["round_trip"].values()) == found["formulas"] == 3


def test_a_column_of_another_name_is_read_by_its_recipe_key(tmp_path, capsys):
    with open(tmp_path / "mine.csv", "w", newline="") as stream:
        table = csv.DictWriter(stream, ["id", "structure"])
        table.writeheader()
        table.writerows({"id": crystal.id, "structure": crystal.cif()} for crystal in small_crystals())
    assert main(["data", "check", str(tmp_path / "mine.csv"), "data.source={name: table, cif: structure}"]) == 0
    assert "4 crystals" in capsys.readouterr().out


BAD = {
    "missing.csv": (None, "no such file"),
    "empty.csv": (b"", "is empty"),
    "nocif.csv": (b"material_id,x\na,1\n", "no column 'cif'"),
    "broken.cif": (b"data_x\n_cell_length_a 3\n", "broken CIF"),
}


@pytest.mark.parametrize("name", BAD)
def test_unusable_input_is_exit_code_2_with_a_sentence(tmp_path, capsys, name):
    content, message = BAD[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["data", "check", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err


def test_disordered_crystal_is_exit_code_2_and_names_the_site(tmp_path, capsys):
    from pymatgen.io.cif import CifWriter

    structure = small_crystals()[2].structure
    structure[0] = {"Sr": 0.5, "Ba": 0.5}
    (tmp_path / "x.cif").write_text(str(CifWriter(structure)))
    assert main(["data", "check", str(tmp_path / "x.cif")]) == 2
    assert "partial occupancy on site Sr" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["set.csv.gz", "set"])
def test_import_gives_a_table_of_the_same_crystals(folder, tmp_path, out, capsys):
    assert main(["data", "import", str(folder), "-o", str(tmp_path / out)]) == 0
    capsys.readouterr()
    assert main(["data", "check", str(tmp_path / out)]) == 0
    assert "4 crystals" in capsys.readouterr().out
    assert main(["data", "import", str(folder), str(tmp_path / out)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_split_keeps_every_crystal_and_separates_formulas(tmp_path, capsys):
    rows = []
    for k, crystal in enumerate(small_crystals() * 20):
        numbers = crystal.numbers.copy()
        numbers[0] = 19 + (k // 4) % 10
        copy = type(crystal)(lattice=crystal.lattice, frac_coords=crystal.frac_coords, numbers=numbers, id=f"c{k}")
        rows.append({"material_id": copy.id, "cif": copy.cif(), "gap": str(k / 2)})
    with open(tmp_path / "all.csv", "w", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    command = ["data", "split", str(tmp_path / "all.csv"), str(tmp_path / "set"), "--test", "0.3", "--validation", "0.3"]
    assert main(command) == 0
    found, formulas = {}, {}
    for part in ("train", "val", "test"):
        with gzip.open(tmp_path / "set" / f"{part}.csv.gz", "rt", newline="") as stream:
            for row in csv.DictReader(stream):
                found[row["material_id"]] = row["gap"]
                formulas.setdefault(part, set()).add(row["pretty_formula"])
    assert found == {row["material_id"]: str(float(row["gap"])) for row in rows}
    assert not formulas["train"] & formulas["test"]
    assert not formulas["train"] & formulas["val"]
    assert main([*command[:4], "--test", "0.9", "--validation", "0.9"]) == 2
    assert not list(tmp_path.rglob("*.partial"))


def test_prepared_ahead_a_run_finds_its_data(folder, tmp_path, capsys):
    cache = tmp_path / "cache"
    keys = [f"data.path={folder}", f"data.cache={cache}", f"run_dir={tmp_path / 'runs'}", "fit.steps=1", "sample.n=1"]
    assert main(["data", "prepare", "smoke", *keys]) == 0
    *_, where = capsys.readouterr().out.splitlines()
    files = {path: path.stat().st_mtime_ns for path in Path(where).rglob("*") if path.is_file()}
    assert files
    assert main(["run", "smoke", *keys]) == 0
    assert {path: path.stat().st_mtime_ns for path in Path(where).rglob("*") if path.is_file()} == files
    assert [path for path in Path(where).parent.iterdir() if path.is_dir()] == [Path(where)]
