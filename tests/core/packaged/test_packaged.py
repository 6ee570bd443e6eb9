"""Delivered models: found by name, checked against their card, loaded wherever a run folder is; a sentence for each damage."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

import crystalfw
from crystalfw.core.commands import cli
from crystalfw.core.errors import CheckpointError, DataError, PluginError
from crystalfw.core.model import checkpoint
from crystalfw.core.packaged import CARD, MODEL, located, read_card, verify
from crystalfw.core.packaged.card import FORMAT, Card
from crystalfw.core.registry import Origin, Registry
from crystalfw.core.run.export import export_ensemble, export_model

SALT = crystalfw.Crystal(
    lattice=np.eye(3) * 4.0, frac_coords=np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]), numbers=np.array([55, 17]), id="CsCl"
)


@pytest.fixture(autouse=True)
def _fresh():
    verify.cache_clear()
    yield
    verify.cache_clear()


def test_a_name_gives_what_the_run_gives(predictor_run, delivered):
    ours, theirs = crystalfw.load("small"), crystalfw.load(predictor_run)
    assert theirs.calibration.keys() == {"volume_per_atom", "electronegativity_difference"}
    assert ours.calibration == theirs.calibration
    for name, (values, half) in theirs.predict_with_errors([SALT]).items():
        found = ours.predict_with_errors([SALT])[name]
        np.testing.assert_array_equal(found[0], values)
        np.testing.assert_array_equal(found[1], half)
        assert half[0] > 0


def test_what_stands_in_a_delivered_checkpoint(predictor_run, delivered):
    payload = checkpoint.load(delivered / MODEL)
    assert set(payload) == {"recipe", "name", "provenance", "components", "calibration", "model"}
    text = f"{payload['recipe']} {payload['provenance']}"
    assert "arguments" not in text
    assert str(predictor_run.parent) not in text
    assert (delivered / MODEL).stat().st_size < 0.6 * (predictor_run / "checkpoints" / "best.pt").stat().st_size
    card = read_card(delivered)
    assert card.answers == "volume per atom"
    assert card.components["encoder equivariant"].startswith("crystalfw ")
    assert set(card.files) == {MODEL, "metrics.json"}


def test_half_precision_is_smaller_and_nearly_the_same(predictor_run, delivered, tmp_path):
    export_model(predictor_run, tmp_path / "half", name="half", stated={}, half=True)
    assert (tmp_path / "half" / MODEL).stat().st_size < 0.75 * (delivered / MODEL).stat().st_size
    full, half = (crystalfw.load(folder).predict([SALT]) for folder in (delivered, tmp_path / "half"))
    assert all(weight.dtype == torch.float32 for weight in crystalfw.load(tmp_path / "half").generator.parameters())
    for name in full:
        np.testing.assert_allclose(half[name], full[name], rtol=0.02, atol=0.02)


def test_nothing_is_read_before_a_model_is_asked_for(delivered):
    (delivered / CARD).write_text("not json")
    registry = Registry()
    registry.add_model("small", "small_models:small")
    assert registry.model("small").folder() == delivered


def damage_weights(folder):
    content = bytearray((folder / MODEL).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / MODEL).write_bytes(content)


def change_card(**fields):
    def change(folder):
        card = json.loads((folder / CARD).read_text())
        (folder / CARD).write_text(json.dumps({**card, **fields}))

    return change


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (damage_weights, "damaged or exchanged"),
        (lambda folder: (folder / MODEL).unlink(), "missing; the card of 'small' names it"),
        (lambda folder: (folder / CARD).write_text("{"), "damaged"),
        (lambda folder: (folder / CARD).write_text("[1]"), "not the card of a crystalfw model"),
        (change_card(format=FORMAT + 1), "Install a newer crystalfw"),
        (change_card(kind="oracle"), "kind cannot be read"),
        (change_card(limits="none"), "limits cannot be read"),
        (change_card(files={"../outside": "0"}), "outside of its folder"),
        (change_card(files={}), "names no model.pt"),
    ],
)
def test_each_damage_has_its_sentence(delivered, capsys, damage, sentence):
    damage(delivered)
    with pytest.raises(CheckpointError, match=sentence):
        crystalfw.load("small")
    assert cli.main(["models", "check", str(delivered)]) in (1, 2)
    out = capsys.readouterr()
    assert sentence in out.out + out.err


def test_a_folder_without_a_card_is_a_foreign_one(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no card.json"):
        read_card(tmp_path)


def test_a_model_of_a_plugin_that_is_missing_says_what_to_install(delivered):
    payload = checkpoint.load(delivered / MODEL)
    said = json.loads(payload["provenance"])
    said["components"]["encoder graphite"] = "crystalfw-graphite 2.1"
    recipe = payload["recipe"].replace("name: equivariant", "name: graphite")
    checkpoint.save(delivered / MODEL, {**payload, "recipe": recipe, "provenance": json.dumps(said)})
    (delivered / CARD).unlink()
    with pytest.raises(CheckpointError, match=r"Install crystalfw-graphite 2.1 \(encoder graphite\)"):
        crystalfw.load(delivered)


def test_names_that_are_not_there(delivered, capsys):
    assert cli.main(["sample", "smal"]) == 2
    assert "Did you mean 'small'?" in capsys.readouterr().err
    assert cli.main(["models", "smal"]) == 2
    assert "no delivered model called 'smal'. Did you mean 'small'?" in capsys.readouterr().err


def test_a_model_is_no_table_of_samples(delivered, capsys):
    assert cli.main(["evaluate", "small"]) == 2
    assert "make some with: crystalfw sample small" in capsys.readouterr().err


def test_a_new_package_for_models_is_ready_to_be_filled(predictor_run, tmp_path, capsys):
    assert cli.main(["new", "plugin", "alloys", "--kind", "model", "-o", str(tmp_path)]) == 0
    folder = tmp_path / "crystalfw-alloys"
    assert cli.main(["export", str(predictor_run), "-o", str(folder), "--name", "one"]) == 0
    assert (folder / "src" / "crystalfw_alloys" / "one" / CARD).is_file()
    capsys.readouterr()
    assert cli.main(["models", "check", str(folder)]) == 0
    assert "one, predictor" in capsys.readouterr().out


def test_a_path_comes_before_a_name(delivered, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").mkdir()
    assert str(located("small")) == "small"


def test_two_owners_of_a_name_and_bad_names():
    registry = Registry()
    for name in ("alpha", "beta"):
        registry.registering(Origin(name, "1.0"))
        registry.add_model("small", "small_models:small")
    with pytest.raises(PluginError, match=r"delivered by alpha 1\.0 and beta 1\.0"):
        registry.model("small")
    for name in ("Big", "../x", "check", ""):
        with pytest.raises(PluginError, match="lower-case letters"):
            registry.add_model(name, "small_models:small")


def test_the_listing_and_the_card(delivered, capsys):
    assert cli.main(["models"]) == 0
    out = capsys.readouterr().out
    assert "small  (predictor, " in out
    assert "small-models 1.2)" in out
    assert "answers: volume per atom" in out
    assert cli.main(["describe", "model", "small"]) == 0
    assert "components: " in capsys.readouterr().out
    assert cli.main(["models", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert listed["small"]["card"] == dataclasses.asdict(read_card(delivered))


def test_fields_that_a_card_does_not_have(predictor_run, tmp_path):
    with pytest.raises(DataError, match=r"no field 'answer'. Did you mean 'answers'"):
        export_model(predictor_run, tmp_path / "x", name="x", stated={"answer": "?"})


def test_every_default_of_a_card_survives_its_file(tmp_path):
    card = Card(name="x", kind="retriever")
    (tmp_path / CARD).write_text(card.text())
    assert read_card(tmp_path) == card


def test_values_with_errors_and_vectors_on_the_command_line(delivered, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SALT.write("CsCl.cif")
    (tmp_path / "broken.cif").write_text("data_nothing\n")
    (tmp_path / "structures").mkdir()
    for name in ("CsCl.cif", "broken.cif"):
        (tmp_path / name).rename(tmp_path / "structures" / name)
    assert cli.main(["predict-properties", "small", "structures", "-o", "values.csv"]) == 0
    out = capsys.readouterr()
    assert "values.csv: 1 structures, 1 left out" in out.out
    assert "broken.cif" in out.err
    assert "volume_per_atom_half_of_90_percent" in (tmp_path / "values.csv").read_text()
    assert cli.main(["predict-properties", "small", "structures"]) == 0
    assert "volume_per_atom" in capsys.readouterr().out
    assert cli.main(["embed", "small", "structures", "-o", "v.npy", "--tokens", "t.npz"]) == 0
    vectors, tokens = np.load("v.npy"), np.load("t.npz")
    np.testing.assert_array_equal(vectors, crystalfw.load("small").embed("structures/CsCl.cif"))
    assert tokens["n_tokens"].tolist() == [2]
    np.testing.assert_allclose(tokens["tokens"].mean(0), vectors[0], atol=1e-5)


def test_export_writes_a_package_and_adds_to_it(predictor_run, tmp_path, capsys):
    out = tmp_path / "my-models"
    for name in ("first", "second"):
        assert cli.main(["export", str(predictor_run), "-o", str(out), "--name", name]) == 0
    assert cli.main(["models", "check", str(out)]) == 0
    assert capsys.readouterr().out.count("whole, loads") == 2
    assert cli.main(["export", str(predictor_run), "-o", str(out), "--name", "first"]) == 2
    assert "there is a model already" in capsys.readouterr().err
    assert cli.main(["export", str(predictor_run), "-o", str(predictor_run)]) == 2
    assert cli.main(["models", "check", str(tmp_path)]) == 2


@pytest.fixture
def averaged_model(predictor_run, tmp_path):
    """The run twice, calibrated by thirty crystals and tested by ten others."""
    known = [dataclasses.replace(SALT, lattice=SALT.lattice * a, properties={"volume_per_atom": 32 * a**3}) for a in SCALES]
    export_ensemble(
        [predictor_run, predictor_run], tmp_path / "twice", name="twice", stated={"answers": "volume"}, say=lambda _: None,
        validation=known[:30], test=known[30:],
    )  # fmt: skip
    return tmp_path / "twice"


SCALES = np.linspace(0.9, 1.1, 40)


def test_an_ensemble_of_a_run_with_itself_says_what_the_run_says(predictor_run, averaged_model):
    one, two = crystalfw.load(predictor_run), crystalfw.load(averaged_model)
    assert two.targets == one.targets == ("volume_per_atom", "electronegativity_difference")
    for name, values in one.predict([SALT]).items():
        np.testing.assert_allclose(two.predict([SALT])[name], values, rtol=1e-5)
    assert np.isfinite(two.predict_with_errors([SALT])["volume_per_atom"][1]).all()
    card = read_card(averaged_model)
    assert (card.kind, card.parameters) == ("predictor", 2 * sum(p.numel() for p in one.generator.parameters()))
    figures = json.loads((averaged_model / "metrics.json").read_text())["prediction"]
    assert {name: found["crystals"] for name, found in figures.items()} == {"volume_per_atom": 10}  # the other has no values


def test_an_ensemble_of_what_is_none_is_refused(averaged_model, tmp_path):
    with pytest.raises(CheckpointError, match="is an ensemble already"):
        export_ensemble(
            [averaged_model], tmp_path / "of_it", name="of-it", stated={}, say=lambda _: None, validation=[], test=[]
        )  # fmt: skip
    assert cli.main(["export", str(averaged_model), "--with", str(averaged_model), "-o", str(tmp_path / "p")]) == 2
