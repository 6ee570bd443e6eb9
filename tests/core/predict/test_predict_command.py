"""`crystalfw predict` and `crystalfw library` as a user types them."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path

import pytest

from crystalfw.core.commands.cli import main
from crystalfw.core.errors import ConditionError
from crystalfw.core.predict.fitted import open_library
from crystalfw.core.predict.question import question_of
from crystalfw.core.predict.table import answer
from crystalfw.core.testing.crystals import small_crystals


@pytest.fixture
def library(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cifs").mkdir()
    for crystal in small_crystals()[:3]:
        (tmp_path / "cifs" / f"{crystal.id}.cif").write_text(crystal.cif())
    assert main(["library", "build", str(tmp_path / "cifs"), "-o", str(tmp_path / "my.library"), "--workers", "1"]) == 0
    return tmp_path / "my.library"


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_formulas_on_the_screen(library, capsys):
    assert main(["predict", "KBr", "CaTiO3", "-n", "3", "--library", str(library)]) == 0
    out = capsys.readouterr().out
    assert "KBr: 1 candidates" in out or "KBr: 1 candidate" in out
    assert "space group 225" in out
    assert "template SrTiO3" in out


def test_a_table_of_questions(library, tmp_path, capsys):
    table = tmp_path / "asked.csv"
    table.write_text("id,composition\na,KBr\nb,SrTiQ3\nc,Al2O3\nd,Na4Cl4\n")
    command = ["predict", str(table), "-n", "2", "--library", str(library), "-o", str(tmp_path / "out")]
    assert main(command) == 0
    rows = rows_of(tmp_path / "out" / "samples.csv")
    assert [(row["reference_id"], row["status"]) for row in rows] == [
        ("a", "ok"), ("b", "question"), ("c", "unknown"), ("d", "ok"),
    ]  # fmt: skip
    assert rows[0]["rank"] == "1"
    assert "NaCl" in rows[0]["origin"]
    assert rows[1]["reason"]
    assert len(list((tmp_path / "out" / "cifs").glob("*.cif"))) == 2
    before = (tmp_path / "out" / "samples.csv").read_bytes()
    assert main(command) == 0
    assert (tmp_path / "out" / "samples.csv").read_bytes() == before
    assert main(["evaluate", str(tmp_path / "out" / "samples.csv"), "--metrics", "shares", "-o", str(tmp_path / "ev")]) == 0


def test_an_interrupted_table_continues(library, tmp_path):
    table = tmp_path / "asked.csv"
    table.write_text("id,composition\n" + "".join(f"{k},KBr\n" for k in range(5)))
    command = ["predict", str(table), "--library", str(library), "-o", str(tmp_path / "out")]
    assert main(command) == 0
    path = tmp_path / "out" / "samples.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert main(command) == 0
    assert path.read_bytes() == whole


def test_ctrl_c_stops_between_questions_and_the_same_command_continues(library, tmp_path, monkeypatch, capsys):
    table = tmp_path / "asked.csv"
    table.write_text("id,composition\n" + "".join(f"{k},{name}\n" for k, name in enumerate(["KBr", "LiF", "CaTiO3", "Ag"])))
    command = ["predict", str(table), "--library", str(library)]
    assert main([*command, "-o", str(tmp_path / "whole")]) == 0
    asked = []

    def interrupting(predictor, one, n):
        asked.append(one.id)
        if len(asked) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return answer(predictor, one, n)

    monkeypatch.setattr("crystalfw.core.predict.table.answer", interrupting)
    assert main([*command, "-o", str(tmp_path / "cut")]) != 0
    assert "after 2 questions; the same command continues" in capsys.readouterr().err
    assert main([*command, "-o", str(tmp_path / "cut")]) == 0
    assert asked[2:] in (["2", "3"], ["1", "2", "3"])  # the last question may have been cut, so it is asked again
    assert (tmp_path / "cut" / "samples.csv").read_bytes() == (tmp_path / "whole" / "samples.csv").read_bytes()


@pytest.mark.parametrize("text", ["SrTiQ3", "", "Na0.5Cl", "Xx2", "O2000"])
def test_what_is_no_composition_is_a_sentence(text):
    with pytest.raises(ConditionError):
        question_of(text)


def test_sixty_elements_are_a_sentence():
    from pymatgen.core import Element

    formula = "".join(Element.from_Z(z).symbol for z in range(3, 63))
    with pytest.raises(ConditionError, match="60 elements; at most 12"):
        question_of(formula)


def test_elements_that_no_known_crystal_has_are_a_guess(library, capsys):
    assert main(["predict", "HeNe", "-n", "1", "--library", str(library)]) == 0
    assert "a guess, the library has no crystal with He or Ne" in capsys.readouterr().out


def test_an_empty_library_is_a_sentence(library, capsys):
    import json

    record = json.loads((library / "manifest.json").read_text())
    (library / "manifest.json").write_text(json.dumps(record | {"entries": 0}))
    assert main(["predict", "NaCl", "--library", str(library)]) == 2
    assert "holds no crystal" in capsys.readouterr().err


def test_a_fitted_folder_answers_without_fitting(library, capsys, tmp_path):
    out = tmp_path / "mine.predictor"
    assert main(["library", "fit", str(library), "-o", str(out)]) == 0
    capsys.readouterr()
    assert main(["predict", "KBr", "--library", str(out)]) == 0
    said = capsys.readouterr().out
    assert "KBr" in said
    assert "epoch" not in said
    assert main(["library", "fit", str(library), "-o", str(out)]) == 2


def test_probabilities_are_calibrated_on_crystals_that_the_library_lacks(library, capsys, tmp_path):
    held_out = tmp_path / "val"
    held_out.mkdir()
    for crystal in small_crystals():
        (held_out / f"{crystal.id}.cif").write_text(crystal.cif())
    out = tmp_path / "mine.predictor"
    assert main(["library", "fit", str(library), "-o", str(out), "--calibrate", str(held_out)]) == 0
    count = len({crystal.formula for crystal in small_crystals()[3:]})
    assert f"{count} crystals to calibrate on; left out: 3 of known formulas" in capsys.readouterr().out
    assert main(["library", "fit", str(library), "-o", str(tmp_path / "b"), "--calibrate", str(tmp_path / "none")]) == 2


def test_val_and_test_never_enter_the_library(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    for part, crystal in zip(("train", "val", "test"), small_crystals()[:3], strict=True):
        text = crystal.cif().replace('"', '""')
        (tmp_path / "data" / f"{part}.csv").write_text(f'material_id,cif\n{crystal.id},"{text}"\n')
    assert [entry.id for entry in open_library(tmp_path / "data", workers=1)] == [small_crystals()[0].id]


def test_atoms_that_do_not_fit_are_a_sentence():
    with pytest.raises(ConditionError, match="no whole number of formula units"):
        question_of("SrTiO3", atoms=7)


def test_a_typo_is_refused_before_anything_is_built(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["predict", "SrTiQ3"]) == 2
    assert "not an element" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_library_info_and_search(library, capsys):
    assert main(["library", "info", str(library)]) == 0
    assert "3 entries" in capsys.readouterr().out
    assert main(["library", "search", str(library), "SrTiO3"]) == 0
    assert "space group 221" in capsys.readouterr().out
    assert main(["library", "search", str(library), "LiF"]) == 1


def test_no_such_library(capsys, tmp_path):
    assert main(["predict", "NaCl", "--library", str(tmp_path / "none")]) == 2
    assert "no such library" in capsys.readouterr().err


@pytest.mark.slow
def test_the_embedded_prototypes_know_rock_salt_and_rutile(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["predict", "NaCl", "TiO2", "-n", "3", "--library", "prototypes"]) == 0
    out = capsys.readouterr().out
    assert "1  " in out
    assert "AB_cF8_225_a_b-NaCl" in out
    assert "A2B_tP6_136_f_a-TiO2" in out
