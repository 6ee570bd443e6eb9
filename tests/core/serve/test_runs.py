"""Runs are listed, drawn and compared from their own files, also while a run writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from crystalfw.core.model.logbook import read_metrics
from crystalfw.core.serve import fits, runs
from crystalfw.core.serve.jobs import NotFound


def make_run(folder: Path, lr: float, log: str) -> None:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(
        f"name: smoke\nrun_dir: {folder}\nfit:\n  lr: {lr}\n  steps: 40\nmodel:\n  encoder: none\n"
    )
    (folder / "metrics.csv").write_text("step,loss,val_loss\n" + log)


def test_the_line_of_a_run(tmp_path):
    make_run(tmp_path / "a" / "smoke-1", 0.1, "10,2.5,\n20,2.0,2.2\n30,1.")
    (tmp_path / "page" / "jobs" / "x" / "out").mkdir(parents=True)
    (tmp_path / "page" / "jobs" / "x" / "out" / "samples.csv").write_text("id,cif\n")
    (line,) = runs.listed(tmp_path)
    assert (line["name"], line["steps"], line["of_steps"], line["best_validation"]) == ("a/smoke-1", 20, 40, 2.2)
    assert line["state"] == "failed", "nobody holds it, and there is no checkpoint"


def test_a_torn_last_line_is_left_out_everywhere(tmp_path):
    make_run(tmp_path / "run", 0.1, "10,2.5,\n20,2.0,2.2\n30,1.")
    assert runs.curves(tmp_path / "run") == {"loss": [[10.0, 2.5], [20.0, 2.0]], "val_loss": [[20.0, 2.2]]}
    assert read_metrics(tmp_path / "run" / "metrics.csv")["step"] == [10, 20]


def test_long_curves_keep_their_last_point(tmp_path):
    make_run(tmp_path / "run", 0.1, "".join(f"{k},{k / 10},\n" for k in range(1, 2001)))
    points = runs.curves(tmp_path / "run")["loss"]
    assert len(points) <= 600
    assert points[-1] == [2000.0, 200.0]


def test_recipes_are_compared_key_by_key(tmp_path):
    make_run(tmp_path / "one", 0.1, "")
    make_run(tmp_path / "two", 0.2, "")
    assert runs.compared(tmp_path, ["one", "two"])["differences"] == [["fit.lr", "0.1", "0.2"]]


@pytest.mark.parametrize("name", ["..", "../x", "", "nowhere", "/etc"])
def test_no_other_folder_is_a_run(tmp_path, name):
    with pytest.raises(NotFound):
        runs.described(tmp_path, name)


def test_long_fits_keep_their_peaks(tmp_path):
    (tmp_path / "fits").mkdir()
    rows = "".join(f"{k / 100},{1000 if k == 7777 else k % 3},0,0\n" for k in range(20_000))
    (tmp_path / "fits" / "000000.csv").write_text("two_theta,measured,computed,difference\n" + rows)
    (tmp_path / "fits" / "000000.json").write_text('{"verdict": "solved"}')
    found = fits.fit(tmp_path, 0)
    assert max(found["curves"]["measured"]) == 1000
    assert len(found["curves"]["measured"]) <= 4000
    assert found["curves"]["two_theta"] == sorted(found["curves"]["two_theta"])
    with pytest.raises(NotFound):
        fits.fit(tmp_path, 1)
