"""`fabric.precision: auto`: taken by measurement, said once, kept for the resume; slow explicit choices warn."""

import itertools
import json

import pytest
import torch

from crystalfw.core.commands.cli import main
from crystalfw.core.errors import RecipeError
from crystalfw.core.model import precision
from crystalfw.core.model.logbook import read_metrics
from crystalfw.core.recipe import load_recipe

CPU = torch.device("cpu")


@pytest.mark.parametrize(("speed", "chosen"), [(8.0, "bf16-mixed"), (2.1, "32-true"), (0.0025, "32-true")])
def test_auto_takes_bfloat16_only_where_it_is_clearly_faster(monkeypatch, speed, chosen):
    monkeypatch.setattr(precision, "relative_speed", lambda *_: (speed, speed))
    decided, told = precision.decide("auto", CPU)
    assert decided == chosen
    assert told.startswith(f"precision: {chosen} (auto: on this cpu a bfloat16 product is ")
    assert ("times as fast as a float32 one" in told) == (speed > 1)


@pytest.mark.parametrize(
    ("asked", "speed", "warns"),
    [
        ("bf16-mixed", 0.0025, True),
        ("16-mixed", 0.4, True),
        ("bf16-mixed", 0.6, False),
        ("32-true", 0.1, False),
        ("64", 0.1, False),
    ],
)
def test_an_explicit_choice_is_kept_and_warned_of_where_it_is_slow(monkeypatch, asked, speed, warns):
    monkeypatch.setattr(precision, "relative_speed", lambda *_: (speed, speed))
    decided, told = precision.decide(asked, CPU)
    assert decided == asked
    assert told.startswith("warning: ") == warns
    assert ("set fabric.precision=auto or fabric.precision=32-true" in told) == warns


def pretend(monkeypatch, seconds):
    """Let products last as `seconds(type)` says; returns the list of sizes that were multiplied."""
    sizes = []

    def product_seconds(matrix, clock):
        sizes.append(len(matrix))
        return seconds(matrix.dtype)

    monkeypatch.setattr(precision, "product_seconds", product_seconds)
    return sizes


def test_the_measurement_stops_early_where_a_type_is_imitated(monkeypatch):
    sizes = pretend(monkeypatch, lambda dtype: {torch.float32: 1.0, torch.bfloat16: 400.0}[dtype])
    assert precision.relative_speed(CPU, torch.bfloat16) == (1 / 400, 1 / 400)
    assert set(sizes) == {128}


def test_a_busy_moment_does_not_decide(monkeypatch):
    """bfloat16 is slower here; for one group of products float32 was held up, which made it seem fast."""
    calls = itertools.count()
    pretend(monkeypatch, lambda dtype: 9.0 if next(calls) < 10 and dtype == torch.float32 else 2.0 - (dtype == torch.float32))
    low, high = precision.relative_speed(CPU, torch.bfloat16)
    assert low < 1
    assert precision.automatic(CPU)[0] == "32-true"
    assert high >= low


def test_a_real_measurement_is_a_number_of_this_machine():
    low, high = precision.relative_speed(CPU, torch.bfloat16)
    assert 1e-4 < low <= high < 1e3


def test_a_misspelt_precision_is_a_mistake_of_the_recipe():
    with pytest.raises(RecipeError, match=r"no precision called 'bf16-mixd'.\n  Did you mean 'bf16-mixed'"):
        load_recipe("smoke", ["fabric.precision=bf16-mixd"])
    assert load_recipe("xattn").fabric.precision == "auto"


def test_a_run_keeps_what_auto_chose_and_a_resume_takes_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["data.max_crystals=40", "fit.steps=3", "sample.n=1", "evaluate.metrics=[]", "run_dir=runs"]
    losses = {}
    for name, speed, chosen in (("fast", 8.0, "bf16-mixed"), ("slow", 0.01, "32-true")):
        monkeypatch.setattr(precision, "relative_speed", lambda *_, speed=speed: (speed, speed))
        assert main(["run", "smoke", *options, f"name={name}", "fabric.precision=auto"]) == 0
        assert capsys.readouterr().out.count(f"precision: {chosen} (auto") == 1
        assert load_recipe(f"runs/{name}").fabric.precision == chosen
        assert json.loads((tmp_path / "runs" / name / "provenance.json").read_text())["precision"] == chosen
        losses[chosen] = read_metrics(tmp_path / "runs" / name / "metrics.csv")["loss"]
    assert main(["run", "smoke", *options, "name=plain"]) == 0
    assert read_metrics(tmp_path / "runs" / "plain" / "metrics.csv")["loss"] == losses["32-true"] != losses["bf16-mixed"]
    capsys.readouterr()
    monkeypatch.setattr(precision, "automatic", None)  # a resume measures nothing
    assert main(["run", "--resume", "runs/fast"]) == 0
    assert load_recipe("runs/fast").fabric.precision == "bf16-mixed"
