"""Ablation: the grid's mistakes, equal parameters, statistics that claim no more than they may, and real runs."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalfw.core.commands.cli import main
from crystalfw.core.errors import RecipeError
from crystalfw.core.evaluate.statistics import Difference, compare, paired_bootstrap, t_interval, verdict
from crystalfw.core.recipe import load_recipe
from crystalfw.core.run.ablation import load_grid
from crystalfw.core.run.ablation.grid import Cell, EqualParameters
from crystalfw.core.run.ablation.jobs import make_jobs
from crystalfw.core.run.ablation.parameters import count_parameters, equalise
from crystalfw.core.run.ablation.report import render
from crystalfw.core.run.ablation.results import Result, figures_of
from crystalfw.core.run.ablation.summary import summarise
from crystalfw.core.system.files import digest
from tests.plugins.metrics.crystals import rock_salt

GRID = """
base: smoke
set: {sample.n: 4, data.max_crystals: 24}
axes:
  conditioning:
    additive: {model.conditioning: additive, model.decoder.name: gpt}
    cross attention: {}
  model.memory: [pooled, tokens]
exclude: [{conditioning: additive, model.memory: tokens}]
seeds: [0, 1]
baseline: {conditioning: additive}
measures: {val_loss: lower, shares.novel: higher}
"""


@pytest.fixture
def grid_path(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    return path


def test_cells_are_the_product_of_the_axes(grid_path):
    grid = load_grid(grid_path)
    assert [cell.name for cell in grid.cells] == ["additive, pooled", "cross attention, pooled", "cross attention, tokens"]
    assert grid.cells[2].overrides() == ["sample.n=4", "data.max_crystals=24", 'model.memory="tokens"']
    assert (grid.baseline, grid.seeds, grid.name) == (0, (0, 1), "grid")


def test_overrides_replace_what_is_set_for_every_cell(grid_path):
    grid = load_grid(grid_path, ["sample.n=9", "data.path=a.csv", "model.memory=pooled"])
    assert grid.cells[2].overrides() == ["sample.n=9", "data.max_crystals=24", 'data.path="a.csv"', 'model.memory="tokens"']
    with pytest.raises(RecipeError, match=r"override sample\.n: write KEY=VALUE"):
        load_grid(grid_path, ["sample.n"])


@pytest.mark.parametrize("base", ["smoke", "smoke.yaml"])
def test_the_base_is_a_file_beside_the_grid_or_an_installed_recipe(tmp_path, monkeypatch, base):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text(f"base: {base}\naxes: {{seed: [1, 2]}}\n")
    assert load_recipe(load_grid("grid.yaml").base).fit.steps == 10
    (tmp_path / "smoke.yaml").write_text("extends: smoke\nfit: {steps: 3}")
    assert load_recipe(load_grid("grid.yaml").base).fit.steps == 3
    (tmp_path / "grid.yaml").write_text("base: smokee\naxes: {seed: [1, 2]}\n")
    with pytest.raises(RecipeError, match=r"grid.yaml:1: base: smokee: no such recipe.\n  Did you mean 'smoke'"):
        load_grid("grid.yaml")


def test_another_baseline(grid_path):
    assert load_grid(grid_path, (), ["conditioning=cross attention", "model.memory=tokens"]).baseline == 2
    with pytest.raises(RecipeError, match=r"no cell has .*; cells: additive, pooled; cross attention, pooled"):
        load_grid(grid_path, (), ["conditioning=addition"])


def test_the_list_of_cells_names_the_baseline_asked_for(grid_path, capsys):
    assert main(["ablate", str(grid_path), "--list", "--baseline", "conditioning=cross attention"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "baseline" in line]
    assert line.startswith("cross attention, pooled")


def test_all_mistakes_of_a_grid_at_once(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("bse: smoke\naxes: {x: 3}\nseeds: [0, 0]\nequal: {minutes: -1}\nmeasures: {val_loss: up}\n")
    with pytest.raises(RecipeError) as caught:
        load_grid(path)
    told = "\n".join(caught.value.mistakes)
    for part in (
        "grid.yaml:1: bse: there is no such key. Did you mean 'base'",
        "base: must be",
        "grid.yaml:2: axes.x",
        "seeds",
        "minutes",
        "measures.val_loss",
    ):
        assert part in told
    with pytest.raises(RecipeError, match="no such grid file"):
        load_grid(tmp_path / "nowhere.yaml")


def test_an_unknown_value_in_exclude(grid_path):
    grid_path.write_text(GRID.replace("conditioning: additive, model.memory: tokens", "conditioning: additve"))
    with pytest.raises(RecipeError, match="axis 'conditioning' has no value 'additve'; it has additive, cross attention"):
        load_grid(grid_path)


def test_parameters_become_equal(grid_path):
    grid = load_grid(grid_path)
    cells = equalise(grid.base, grid.cells, EqualParameters())
    counts = [count_parameters(grid.base, cell.overrides()) for cell in cells]
    assert max(counts) <= 1.02 * min(counts)
    assert counts[0] == count_parameters(grid.base, grid.cells[0].overrides())


def test_parameters_that_cannot_be_equal(grid_path):
    grid = load_grid(grid_path)
    with pytest.raises(RecipeError, match="parameters with"):
        equalise(grid.base, grid.cells[:1], EqualParameters(target=10))
    with pytest.raises(RecipeError, match="not a number"):
        equalise(grid.base, grid.cells[:1], EqualParameters(adjust="model.decoder.name"))


def test_equal_recipes_share_a_run(grid_path, tmp_path):
    grid = load_grid(grid_path)
    twice = [grid.cells[1], Cell({"a": "b"}, dict(grid.cells[1].settings)), grid.cells[2]]
    jobs = make_jobs(grid.base, twice, (0, 1), None, tmp_path)
    assert len(jobs) == 6
    assert len({job.folder for job in jobs}) == 4
    assert "seed: 1" in jobs[3].recipe


def test_runs_lie_in_folders_named_by_what_they_are(grid_path, tmp_path):
    grid = load_grid(grid_path)
    jobs = make_jobs(grid.base, grid.cells[:2], (0,), None, tmp_path)
    assert [job.folder.name for job in jobs] == ["additive-pooled-seed0", "cross-attention-pooled-seed0"]
    jobs[0].folder.mkdir(parents=True)
    (jobs[0].folder / "recipe.yaml").write_text(jobs[0].recipe)
    assert make_jobs(grid.base, grid.cells[:1], (0,), None, tmp_path)[0].folder == jobs[0].folder, "continued"
    (other,) = make_jobs(grid.base, grid.cells[:1], (0,), 5.0, tmp_path)
    assert re.fullmatch(r"additive-pooled-seed0-[0-9a-f]{8}", other.folder.name), "another recipe never takes its results"
    twins = [Cell({"a": "x y"}, dict(grid.cells[0].settings)), Cell({"a": "x-y"}, dict(grid.cells[1].settings))]
    assert len({job.folder for job in make_jobs(grid.base, twins, (0,), None, tmp_path)}) == 2
    earlier = tmp_path / "runs" / digest(jobs[1].recipe.encode())[:16]
    earlier.mkdir()
    assert make_jobs(grid.base, grid.cells[1:2], (0,), None, tmp_path)[0].folder == earlier, "made by an earlier version"


def test_t_interval_by_hand():
    low, high = t_interval([1.0, 2.0, 3.0], 0.95)
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), rel=1e-5)
    assert t_interval([1.0], 0.95) == (None, None)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(60):
        arrays = [rng.normal(0.3, 1.0, size=80) for _ in range(5)]
        ((low, high),) = paired_bootstrap(arrays, (0.95,), seed=trial)
        covered += low <= 0.3 <= high
    assert covered >= 48


def results_of(values, measure="match.loose.n=1"):
    """values[cell][seed] is an array of per-sample outcomes."""
    return [
        Result(cell, seed, None, {measure: float(np.mean(v))}, {measure: {str(k): float(x) for k, x in enumerate(v)}})
        for cell, seeds in enumerate(values)
        for seed, v in enumerate(seeds)
    ]


def test_a_clear_difference_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    base = [(rng.random(200) < 0.5).astype(float) for _ in range(3)]
    better = [np.maximum(v, rng.random(200) < 0.5).astype(float) for v in base]
    again = [(rng.random(200) < 0.5).astype(float) for _ in range(3)]
    first, second = compare(results_of([base, better, again]), 0, "match.loose.n=1")
    assert (first.method, first.items, first.seeds) == ("bootstrap", 200, 3)
    assert "better" in verdict(first, "b", "a", "higher")
    assert "worse" in verdict(first, "b", "a", "lower")
    assert "no difference shown" in verdict(second, "c", "a", "higher")
    assert first.strict_low < first.low


def test_pairing_makes_intervals_narrow():
    rng = np.random.default_rng(0)
    base = [(rng.random(300) < 0.5).astype(float) for _ in range(3)]
    paired = [np.where(np.arange(300) < 15, 1.0, v) for v in base]
    shuffled = [rng.permutation(v) for v in paired]
    near, far = compare(results_of([base, paired, shuffled]), 0, "match.loose.n=1")
    assert near.high - near.low < 0.5 * (far.high - far.low)


def test_one_figure_per_run_is_compared_by_seeds():
    results = [Result(cell, seed, None, {"val_loss": 1.0 + 0.1 * seed - 0.05 * cell}) for cell in (0, 1) for seed in range(3)]
    (difference,) = compare(results, 0, "val_loss")
    assert difference.method == "t"
    assert difference.mean == pytest.approx(-0.05)
    assert "better" in verdict(difference, "b", "a", "lower")


numbers = st.floats(-10, 10)


@given(mean=numbers, ends=st.tuples(numbers, numbers), seeds=st.integers(1, 6), better=st.sampled_from(["higher", "lower"]))
def test_a_verdict_claims_no_more_than_its_interval(mean, ends, seeds, better):
    low, high = sorted(ends)
    words = verdict(Difference(1, "m", mean, low, high, low, high, seeds, 0, "t"), "b", "a", better)
    if seeds < 3:
        assert "too few seeds" in words
    elif low <= 0 <= high:
        assert "no difference shown" in words
    else:
        assert ("better" in words) != ("worse" in words)


def test_figures_of_a_run_folder(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,loss,val_loss,tokens,elapsed_s\n1,3,,10,0.5\n2,2,2.5,20,1\n3,2,2.7,30,1.5\n")
    (tmp_path / "provenance.json").write_text(json.dumps({"parameters": {"decoder": 10, "total": 12}}))
    share = {"count": 1, "of": 4, "share": 0.25, "low": 0, "high": 1}
    result = {"chain": [{"stage": "novel", **share}], "loose": {"n=1": {**share, "rmse": 0.1}}, "protocol": {"x": 1}}
    metrics = {"m": {"metric": "shares", "result": result}, "of a plugin that is gone": {"result": {"rate": 0.5}}}
    (tmp_path / "metrics.json").write_text(json.dumps({"metrics": metrics}))
    assert figures_of(tmp_path) == {
        "val_loss": 2.5, "tokens": 30, "steps": 3, "seconds": 1.5, "parameters": 12,
        "m.novel": 0.25, "m.loose.n=1": 0.25, "m.loose.n=1.rmse": 0.1, "of a plugin that is gone.rate": 0.5,
    }  # fmt: skip


@pytest.mark.slow
def test_a_metric_that_failed_in_a_run_is_said(grid_path, tmp_path):
    grid = load_grid(grid_path)
    jobs = make_jobs(grid.base, grid.cells, grid.seeds, None, tmp_path)
    jobs[1].run_dir.mkdir(parents=True)
    (jobs[1].folder / "done.json").write_text("{}")
    (jobs[1].run_dir / "metrics.json").write_text(json.dumps({"metrics": {"match": {"result": {}, "error": "no references"}}}))
    said = summarise(grid, grid.cells, jobs).warnings
    assert "cross attention, pooled, seed 0: the metric 'match' gave nothing: no references" in said


def test_a_killed_ablation_finishes_without_repeating(tmp_path):
    """Real runs; one cell fails; the first start is killed after its first finished run."""
    path, out = tmp_path / "grid.yaml", tmp_path / "out"
    with (tmp_path / "crystals.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        writer.writerows(
            [f"salt-{k}", rock_salt(5 + 0.02 * k, (11 + 8 * (k % 2), 9 + 8 * (k % 4 // 2))).cif()] for k in range(40)
        )
    path.write_text(
        "base: smoke\nset: {data.path: crystals.csv, data.validation: 0.5, sample.n: 2, fit.steps: 6}\n"
        "axes: {cell: {a: {}, b: {fit.lr: 3e-3}, bad: {data.path: nowhere.csv}}}\nseeds: [0]\n"
    )
    command = [sys.executable, "-m", "crystalfw", "ablate", str(path), "--out", str(out), "--cores", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    until = time.monotonic() + 240
    while not list(out.glob("runs/*/done.json")) and time.monotonic() < until:
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (first,) = out.glob("runs/*/done.json")
    before = first.stat().st_mtime_ns
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert first.stat().st_mtime_ns == before
    assert len(list(out.glob("runs/*/done.json"))) == 2
    assert "FAILED: bad, seed 0" in done.stdout
    assert "nowhere.csv" in done.stdout
    with (out / "ablation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["cell"] for row in rows} == {"a", "b"}
    assert {"val_loss", "parameters", "shares.parsed"} <= {row["measure"] for row in rows}
    assert "nowhere.csv" in (out / "report.html").read_text()


def test_without_measures_the_headlines_of_the_metrics_are_compared(grid_path, tmp_path):
    grid_path.write_text(GRID.replace("measures: {val_loss: lower, shares.novel: higher}\n", "equal: {minutes: 1}\n"))
    grid = load_grid(grid_path)
    jobs = make_jobs(grid.base, grid.cells[:2], (0,), None, tmp_path)
    share = {"count": 1, "of": 4, "share": 0.25, "low": 0, "high": 1}
    result = {"samples": {"both": share, "structural": share}}
    for job in jobs:
        job.run_dir.mkdir(parents=True)
        (job.folder / "done.json").write_text("{}")
        (job.run_dir / "metrics.csv").write_text("step,val_loss\n1,2.5\n")
        (job.run_dir / "metrics.json").write_text(json.dumps({"metrics": {"v": {"metric": "validity", "result": result}}}))
    study = summarise(grid, grid.cells, jobs)
    assert study.grid.measures == {"val_loss": "lower", "v.samples.both": "higher"}
    page = render(study)
    assert "Valid in structure and composition" in page
    assert "25.0 %" in page
    grid_path.write_text(grid_path.read_text().replace("seeds: [0, 1]", "seeds: [0]"))
    page = render(summarise(load_grid(grid_path), grid.cells, jobs))
    assert 'id="results"' in page
    assert 'id="verdicts"' not in page  # one seed allows none, and no interval
    assert 'id="means"' not in page


def write_run(job, *, val_loss, metrics):
    job.run_dir.mkdir(parents=True)
    (job.folder / "done.json").write_text("{}")
    (job.run_dir / "metrics.csv").write_text(f"step,val_loss\n1,{val_loss}\n")
    (job.run_dir / "metrics.json").write_text(json.dumps({"metrics": metrics}))


def test_the_plain_table_says_what_was_measured_how_often(grid_path, tmp_path):
    """Means and ranges as the metric writes them; no raw key, no `cell` beside unit cells; one gap is counted."""
    grid = load_grid(grid_path)
    jobs = make_jobs(grid.base, grid.cells[:2], (0, 1), None, tmp_path)
    for k, job in enumerate(jobs):
        share = {"count": k, "of": 4, "share": k / 4, "low": 0, "high": 1}
        chain = [{"stage": "novel", **share}]
        result = {"asked": 4, "chain": chain, "failures": {}, "protocol": {}}
        write_run(job, val_loss=2 + k, metrics={"shares": {"metric": "shares", "result": result}} if k < 3 else {})
    page = render(summarise(grid, grid.cells[:2], jobs))
    table = re.sub(r"<[^>]+>", " ", page[page.index('id="results"') : page.index('id="verdicts"')])
    assert re.findall(r"Validation loss|Valid, unique and novel", table) == ["Validation loss", "Valid, unique and novel"]
    for words in ("25.0 %", "0.0 % to 50.0 %", "1 of 2 runs", "2 variants, 2 seeds each; 4 of 4 runs finished"):
        assert words in table
    text = re.sub(r"<style>.*?</style>|<script>.*?</script>|<details>.*?</details>|<[^>]+>", " ", page, flags=re.DOTALL)
    for word in ("shares.novel", "val_loss", "Cells", "Every cell"):
        assert word not in text
