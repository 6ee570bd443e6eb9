"""The distribution crystalfw-models: its cards are whole, its models answer from wheels in a fresh environment."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from crystalfw.core.packaged import read_card, verify
from crystalfw.core.packaged.card import NOT_STATED

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "models"
FOLDERS = sorted(card.parent for card in PACKAGE.glob("src/crystalfw_models/*/card.json"))
NAMES = ["mp-energies", "mp-predict", "mp-property", "mp-unconditional"]
SALT = """data_NaCl
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na Na 0 0 0
Cl Cl 0.5 0.5 0.5
"""


def test_the_models_of_the_project_are_there_and_small():
    assert [folder.name for folder in FOLDERS] == NAMES
    assert sum(file.stat().st_size for folder in FOLDERS for file in folder.rglob("*") if file.is_file()) < 25_000_000


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_card_says_what_people_should_know(folder):
    card = verify(folder)
    assert card.name == folder.name
    for name in ("answers", "trained_on", "headline", "licence", "leakage", "recipe"):
        assert getattr(card, name) not in ("", NOT_STATED, "to be measured"), f"{folder.name}: {name}"
    assert card.figures
    assert card.limits
    assert "CC BY 4.0" in card.licence
    assert any("Jain" in source for source in card.citations)
    said = (PACKAGE / "cards" / f"{folder.name}.yaml").read_text()
    assert card.headline in said


def test_no_card_names_a_place_on_a_machine():
    for folder in FOLDERS:
        for path in [*folder.glob("*.json"), *folder.glob("*.pt")]:
            content = path.read_bytes()
            assert b"/root/" not in content
            assert b"/tmp/" not in content
            assert b"/home/" not in content


@pytest.mark.slow
def test_wheels_answer_in_a_fresh_environment(stranger, build):
    """Both wheels, no network, no training: models, predict, predict-properties, sample, embed."""
    wheel = build(PACKAGE)
    assert wheel.stat().st_size < 25_000_000
    inside = zipfile.ZipFile(wheel).namelist()
    assert {f"crystalfw_models/{name}/card.json" for name in NAMES} <= set(inside)
    assert any(name.endswith("DATA_LICENSE.md") for name in inside)
    stranger.install(wheel)
    listed = json.loads(stranger.run("-m", "crystalfw", "models", "--json"))
    assert [row["name"] for row in listed["models"]] == NAMES
    assert listed["models"][0]["distribution"].startswith("crystalfw-models ")
    place = stranger.folder / "first"
    place.mkdir()
    (place / "NaCl.cif").write_text(SALT)
    assert "225" in stranger.run("-m", "crystalfw", "predict", "NaCl", "-n", "3", cwd=place)
    assert "band_gap" in stranger.run("-m", "crystalfw", "predict-properties", "mp-energies", "NaCl.cif", cwd=place)
    stranger.run("-m", "crystalfw", "embed", "mp-energies", "NaCl.cif", "-o", "vectors.npy", cwd=place)
    assert np.load(place / "vectors.npy").shape == (1, 128)
    asked = ["sample", "mp-property", "--condition", "band_gap=2.0", "--n", "2", "-o", "made/samples.csv"]
    stranger.run("-m", "crystalfw", *asked, cwd=place)
    assert len((place / "made" / "samples.csv").read_text().splitlines()) >= 3
    stranger.run("-m", "crystalfw", "sample", "mp-unconditional", "--n", "2", cwd=place)
    assert list(place.glob("sampled/mp-unconditional/*/samples.csv"))
    damaged = stranger.site / "crystalfw_models" / "mp-energies" / "model.pt"
    kept = damaged.read_bytes()
    damaged.write_bytes(kept[:-1])
    said = stranger.run("-m", "crystalfw", "predict-properties", "mp-energies", "NaCl.cif", cwd=place, code=2)
    damaged.write_bytes(kept)
    assert "damaged or exchanged" in said


def test_the_cards_of_the_project_read_as_json():
    for folder in FOLDERS:
        assert read_card(folder).kind in ("generator", "predictor", "retriever")
