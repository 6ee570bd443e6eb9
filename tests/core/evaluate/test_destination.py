"""Every evaluation has a folder of its own; one that is refused leaves nothing."""

from __future__ import annotations

import json
import shutil

import pytest

from crystalfw.core.commands.cli import main
from crystalfw.core.evaluate.destination import own_folder
from crystalfw.core.sample.table import write_samples
from tests.plugins.metrics.crystals import caesium_chloride, rock_salt, sample


def judge(samples, *options):
    return main(["evaluate", str(samples), "--workers", "1", "--metrics", "validity", *map(str, options)])


@pytest.fixture
def cifs(tmp_path):
    folder = tmp_path / "others"
    folder.mkdir()
    for crystal in (rock_salt(id="salt"), caesium_chloride(id="chloride")):
        (folder / f"{crystal.id}.cif").write_text(crystal.cif())
    return folder


def test_a_request_finds_its_own_folder_and_no_other(tmp_path):
    first = own_folder(tmp_path, "shares-match", {"reference": "a"})
    second = own_folder(tmp_path, "shares-match", {"reference": "b"})
    assert (first.name, second.name) == ("shares-match", "shares-match-2")
    assert own_folder(tmp_path, "shares-match", {"reference": "a"}) == first
    assert own_folder(tmp_path, "shares-match", {"reference": "b"}) == second


def test_a_folder_of_cifs_is_judged_beside_it(cifs, tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert judge(cifs) == 0
    made = tmp_path / "others.evaluated" / "validity"
    assert str(made / "metrics.json") in capsys.readouterr().out
    before = (made / "metrics.json").read_bytes()
    assert judge(cifs, "--reference", cifs / "salt.cif") == 0
    assert (made / "metrics.json").read_bytes() == before
    other = json.loads((tmp_path / "others.evaluated" / "validity-2" / "metrics.json").read_text())
    assert other["reference"]["count"] == 1
    assert list((tmp_path / "here").iterdir()) == []
    assert sorted(path.name for path in cifs.iterdir()) == ["chloride.cif", "salt.cif"]


def test_what_no_source_can_read_is_refused_and_nothing_is_written(tmp_path, capsys):
    picture = tmp_path / "pic.cif"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    assert judge(picture) == 2
    assert "pic.cif: nothing in it can be read as a crystal" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [picture]


def test_an_ablation_is_refused_with_its_runs(tmp_path, capsys):
    for key in ("one", "two"):
        run = tmp_path / "demo" / "runs" / key / "run"
        run.mkdir(parents=True)
        (run / "recipe.yaml").write_text("name: run\n")
    assert judge(tmp_path / "demo") == 2
    assert f"an ablation of 2 runs; evaluate one of them: {tmp_path / 'demo/runs/one/run'}" in capsys.readouterr().err


def test_the_record_of_a_run_is_kept_and_its_lost_data_are_named(tmp_path, capsys):
    run = tmp_path / "runs" / "mine"
    (run / "checkpoints").mkdir(parents=True)
    (run / "recipe.yaml").write_text(f"name: mine\ndata: {{path: {tmp_path / 'gone.csv'}, cache: {tmp_path / 'cache'}}}\n")
    (run / "metrics.json").write_text("its own")
    write_samples([sample("a", rock_salt())], run / "samples.csv")
    assert judge(run) == 2
    assert "--reference PATH" in capsys.readouterr().err
    assert not (run / "evaluated").exists()
    (tmp_path / "salt.cif").write_text(rock_salt().cif())
    assert judge(run, "--reference", tmp_path / "salt.cif") == 0
    assert (run / "evaluated" / "validity" / "metrics.json").is_file()
    assert judge(run, "--reference", tmp_path / "salt.cif", "-o", run) == 2
    assert (run / "metrics.json").read_text() == "its own"
    shutil.rmtree(run / "checkpoints")  # then it is a folder like any other
    assert judge(run, "-o", run) == 0
