"""`crystalfw hull` and `decode --relax`: samples against a table of known energies."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from crystalfw import slices
from crystalfw.core.commands import cli
from crystalfw.core.testing.crystals import small_crystals


def copper(a, id, number=29):
    crystal = small_crystals()[1]
    return replace(crystal, lattice=crystal.lattice * a / 3.61, numbers=np.array([number]), id=id)


def rows(path):
    with open(path, newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


@pytest.fixture
def files(tmp_path):
    for crystal in (copper(3.7, "cu"), copper(4.1, "al", 13), replace(small_crystals()[0], id="salt")):
        crystal.write(tmp_path / "crystals" / f"{crystal.id}.cif")
    lines = ["id,formula,energy_per_atom,cif"]
    for name, a in (("known", 3.6), ("other", 3.55)):
        cif = copper(a, name).cif().replace('"', "'")
        lines.append(f'{name},Cu,{-0.107 if name == "known" else -0.1},"{cif}"')
    (tmp_path / "known.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def hull(files, *more):
    return cli.main(["hull", str(files / "crystals"), "--energies", str(files / "known.csv"), "--workers", "1", *more])


def test_heights_with_the_potentials_error_beside_them(files, capsys):
    assert hull(files, "--potential", "ase:EMT") == 0
    found, said = rows(files / "crystals.hull" / "hull.csv"), capsys.readouterr().out
    assert float(found["cu"]["above_hull"]) == pytest.approx(0.1, abs=2e-3)
    assert float(found["cu"]["potential_mae"]) == pytest.approx(0.1, abs=0.02)
    assert found["cu"]["decomposition"] == "1.00 Cu (known)"
    assert (found["al"]["status"], found["al"]["reason"]) == ("not_judged", "no known energy of the element Al")
    assert found["salt"]["status"] == "element"
    assert "mean absolute error 0.099 eV/atom on 2 of its crystals" in said
    assert "2 not judged" in said
    # relaxed before: nothing is relaxed again, and another potential is refused
    relaxed = files / "crystals.hull" / "relaxed.csv"
    again = ["hull", str(relaxed), "--energies", str(files / "known.csv"), "--workers", "1", "-o", str(files / "again")]
    assert cli.main([*again, "--potential", "ase:EMT", "--hull", "potential"]) == 0
    assert not (files / "again" / "relaxed.csv").exists()
    assert float(rows(files / "again" / "hull.csv")["cu"]["above_hull"]) == pytest.approx(0.0, abs=2e-3)
    assert cli.main([*again, "--potential", "ase:LennardJones"]) == 2
    assert "relaxed with EMT" in capsys.readouterr().err


def test_what_is_wrong_is_a_sentence(files, capsys):
    assert cli.main(["hull", str(files / "crystals"), "--energies", "nowhere.csv", "--potential", "ase:EMT"]) == 2
    assert "no such table of energies" in capsys.readouterr().err
    assert hull(files, str(files / "known.csv"), "--potential", "ase:EMT", "--energy-column", "ehull") == 2
    assert "no column 'ehull'" in capsys.readouterr().err


def test_decode_relax_keeps_the_energies(tmp_path, capsys):
    string = slices.encode(copper(3.9, "cu"))
    (tmp_path / "strings.csv").write_text(f'id,slices\na,"{string}"\nb,no crystal\n')
    command = ["decode", str(tmp_path / "strings.csv"), "-o", str(tmp_path / "r.csv"), "--relax", "--potential", "ase:EMT"]
    assert cli.main([*command, "--workers", "1", "--cif-dir", str(tmp_path / "cifs")]) == 0
    found = rows(tmp_path / "r.csv")
    assert float(found["a"]["energy_per_atom"]) == pytest.approx(-0.007, abs=1e-3)
    assert found["b"]["status"] == "parse"
    assert rows(tmp_path / "r.decoded.csv")["a"]["residual"]
    assert [path.name for path in (tmp_path / "cifs").iterdir()] == ["a.cif"]
