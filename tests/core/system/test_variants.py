"""Runs in the folder of a grid: found by their names, titled by their variant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crystalfw.core.commands.evaluate import refuse_ablation
from crystalfw.core.commands.sample import chosen_run
from crystalfw.core.errors import CheckpointError, CrystalfwError, DataError
from crystalfw.core.evaluate.report.run_files import read_run
from crystalfw.core.model import checkpoint
from crystalfw.core.system.variants import TITLE, runs_inside, slug, variant_title


@pytest.fixture
def demo(tmp_path):
    for name in ("additive-seed0", "cross-attention-seed0", "cross-attention-seed1"):
        run = tmp_path / "runs" / name / "run-1"
        run.mkdir(parents=True)
        (run / "recipe.yaml").write_text("name: run\n")
        (run.parent / "run").symlink_to("run-1")
        title = {"variant": name.rpartition("-")[0].replace("-", " "), "seed": int(name[-1]), "grid": "demo"}
        (run.parent / TITLE).write_text(json.dumps(title))
    return tmp_path


def test_a_run_is_chosen_by_its_name(demo):
    assert list(runs_inside(demo)) == ["additive-seed0", "cross-attention-seed0", "cross-attention-seed1"]
    assert chosen_run(demo, "additive") == demo / "runs/additive-seed0/run"
    assert chosen_run(demo, "cross attention seed1") == demo / "runs/cross-attention-seed1/run"
    run = Path("runs/xattn")
    assert chosen_run(run, None) == run


def test_the_runs_there_are_are_listed(demo):
    listed = "choose one with --model NAME: additive-seed0, cross-attention-seed0, cross-attention-seed1"
    with pytest.raises(CrystalfwError, match=f"holds 3 runs; {listed}"):
        chosen_run(demo, None)
    with pytest.raises(CrystalfwError, match="holds 2 runs 'cross attention'"):
        chosen_run(demo, "cross attention")
    with pytest.raises(CrystalfwError, match="holds no run 'gpt'"):
        chosen_run(demo, "gpt")
    with pytest.raises(CrystalfwError, match="not the folder of an ablation"):
        chosen_run(demo / "runs", "additive")
    with pytest.raises(DataError, match="an ablation of 3 runs"):
        refuse_ablation(demo)
    with pytest.raises(CheckpointError, match=r"name one of its 3 runs: .*/runs/additive-seed0/run, "):
        checkpoint.find(demo)


def test_the_report_of_a_run_in_a_grid_has_the_variant_as_its_title(demo):
    run = demo / "runs/cross-attention-seed0/run"
    assert read_run(run).name == variant_title(run.resolve().parent) == "cross attention, seed 0 (demo)"
    (demo / "runs/additive-seed0" / TITLE).write_text("[]")
    assert read_run(demo / "runs/additive-seed0/run").name == "run-1"


@pytest.mark.parametrize(("text", "name"), [
    ("cross attention, pooled", "cross-attention-pooled"), ("0.001, gpt", "0.001-gpt"), ("../x", "x"), ("é", "base"),
])  # fmt: skip
def test_names_for_folders(text, name):
    assert slug(text) == name
