"""What each form shows as "the same on the command line and in Python" does run as it stands."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from crystalfw.core.commands.cli import main, make_parser
from crystalfw.core.crystal import Crystal

FORMS = [
    {"kind": "predict", "formulas": ["NaCl"], "n": 2},
    {"kind": "predict", "formulas": ["NaCl", "KCl"], "n": 1, "atoms": 2},
    {"kind": "predict", "table_upload": "compositions.csv", "n": 1},
    {"kind": "solve", "pattern_upload": "NaCl.xy", "formula": "NaCl"},
    {"kind": "solve", "pattern_upload": "NaCl.xy", "elements": ["Na", "Cl"], "wavelength": "CuKa"},
    {"kind": "generate", "model": "trained", "n": 2, "seed": 3, "temperature": 0.9, "guidance": 1.5, "like_upload": "NaCl.cif",
     "constraints": {"charge_balanced": True}},
    {"kind": "train", "recipe": "smoke", "steps": 2, "seed": 4},
    {"kind": "train", "recipe": "smoke", "minutes": 0.5, "steps": 2, "data_upload": "crystals.csv"},
]  # fmt: skip


def preview(client: Any, form: dict[str, Any]) -> dict[str, str]:
    answer = client.post("/api/v1/preview", json=form)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["kind"])
def test_the_command_of_a_form_is_parsed(client, form):
    program, command, *arguments = shlex.split(preview(client, form)["command"])
    assert program == "crystalfw"
    assert make_parser(command).parse(arguments).out.startswith("OUT")


def test_a_file_that_was_not_sent_yet_has_its_own_name(client):
    assert "crystalfw solve NaCl.xy --formula NaCl -o OUT" in preview(client, FORMS[3])["command"]
    sent = client.post("/api/v1/uploads/mine.xy", content=b"1 2\n").json()["id"]
    assert "/uploads/" in preview(client, {**FORMS[3], "pattern_upload": sent})["command"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with the files that the forms name, and a trained run."""
    folder = tmp_path_factory.mktemp("shown")
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    Crystal.from_structure(salt.get_primitive_structure()).write(folder / "NaCl.cif")
    assert main(["pattern", str(folder / "NaCl.cif"), "-o", str(folder / "NaCl.xy")]) == 0
    (folder / "compositions.csv").write_text("id,composition\na,NaCl\n")
    cif = (folder / "NaCl.cif").read_text().replace('"', '""')
    (folder / "crystals.csv").write_text("id,cif\n" + "".join(f'{k},"{cif}"\n' for k in range(12)))
    assert main(["run", "smoke", "fit.steps=2", "sample.n=1", f"run_dir={folder}"]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["kind"])
def test_the_python_lines_of_a_form_run(client, files, form, monkeypatch):
    monkeypatch.chdir(files)
    monkeypatch.setattr(client.app.app.state.served.store, "model", lambda name: str(files / "smoke"))
    names: dict[str, Any] = {}
    exec(compile(preview(client, form)["python"], "shown", "exec"), names)
    made = names.get("candidates") or names.get("solved") or names.get("model") or names.get("crystals")
    if form["kind"] == "predict" and form.get("formulas") == ["NaCl"]:
        assert [candidate.crystal.formula for candidate in made] == ["NaCl"] * 2
    elif form["kind"] == "predict":
        assert {one.crystal.formula for candidates in made for one in candidates} <= {"NaCl", "KCl"}
    elif form["kind"] == "solve":
        assert made.crystals[0].space_group.number == 225
    elif form["kind"] == "train":
        assert made.recipe.fit.steps == 2
    else:
        assert "crystals" in names
