"""The whole way of the data on small real crystals: run, repeat, kill and resume, several processes."""

import csv
import json
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from crystalfw.core.commands.cli import main
from crystalfw.core.errors import CheckpointError
from crystalfw.core.model.logbook import read_metrics
from crystalfw.core.run.start_weights import start_weights
from crystalfw.core.sample.request import Request
from crystalfw.core.sample.trained import Trained


def losses(run):
    metrics = read_metrics(run / "metrics.csv")
    return {name: metrics[name] for name in ("step", "loss", "val_loss")}


def same(first, second):
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert repr(values) == repr(second[name]), name


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(table, cache, tmp_path_factory):
    """One run of the smoke recipe that several tests look at."""
    folder = tmp_path_factory.mktemp("finished")
    code = main(
        ["run", "smoke", f"data.path={table}", f"data.cache={cache}", f"run_dir={folder}", "fit.steps=20", "fit.lr=5e-3"]
    )
    assert code == 0
    return folder / "smoke"


def test_the_run_folder_holds_everything(finished):
    names = {path.name for path in finished.iterdir()}
    expected = {
        "recipe.yaml", "provenance.json", "rejected.csv", "metrics.csv", "checkpoints", "samples.csv", "cifs",
        "metrics.json", "report.html",
    }  # fmt: skip
    assert expected <= names
    assert len(rows(finished / "samples.csv")) == 4
    assert json.loads((finished / "provenance.json").read_text())["seed"] == 0


def test_evaluating_a_run_takes_its_data_and_keeps_its_record(finished, capsys):
    own = {name: (finished / name).read_bytes() for name in ("metrics.json", "outcomes.csv", "report.html")}
    assert main(["evaluate", str(finished), "--workers", "1"]) == 0
    made = finished / "evaluated" / "shares-match-distributions"
    assert str(made / "metrics.json") in capsys.readouterr().out
    record, before = json.loads((made / "metrics.json").read_text()), json.loads(own["metrics.json"])
    assert {name: item["result"] for name, item in record["metrics"].items()} == {
        name: item["result"] for name, item in before["metrics"].items()
    }
    assert record["reference"]["count"] == before["reference"]["count"] > 0
    assert record["training"]["count"] == before["training"]["count"] > 0
    assert (made / "outcomes.csv").read_bytes() == own["outcomes.csv"]
    assert {name: (finished / name).read_bytes() for name in own} == own


@pytest.mark.parametrize("mistake", ["data.path=nowhere.csv", "model.encoder_checkpoint=nowhere"])
def test_a_start_that_fails_leaves_nothing_and_the_good_run_is_found(finished, command, tmp_path, mistake):
    assert main(command(mistake)) == 2
    assert list((tmp_path / "runs").iterdir()) == []
    before = sorted(finished.parent.iterdir())
    assert main(command(mistake, f"run_dir={finished.parent}")) == 2
    assert sorted(finished.parent.iterdir()) == before
    assert (finished / "checkpoints" / "best.pt").is_file()


def test_the_loss_falls(finished):
    found = losses(finished)["loss"]
    assert found[-1] < 0.9 * found[0]


def test_samples_are_valid_graphs(finished):
    for row in rows(finished / "samples.csv"):
        assert row["status"] not in ("parse", "graph"), row["reason"]


def test_the_saved_recipe_alone_repeats_the_run(finished, tmp_path):
    assert main(["run", str(finished / "recipe.yaml"), f"run_dir={tmp_path}"]) == 0
    again = tmp_path / "smoke"
    same(losses(finished), losses(again))
    assert (finished / "samples.csv").read_bytes() == (again / "samples.csv").read_bytes()


def test_samples_do_not_depend_on_the_batch_size(finished):
    trained = Trained.load(finished)
    like = trained.conditions(None, next(iter(sorted((finished / "cifs").iterdir())), None))
    strings = []
    for batch_size in (1, 3, 16):
        settings = replace(trained.recipe.sample, n=6, batch_size=batch_size)
        strings.append([s.string for s in trained.samples(Request(settings=settings, conditions=tuple(like)))])
    assert strings[0] == strings[1] == strings[2]


def wait_for_step(run, step, timeout=120):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found = list(run.glob("smoke-*/metrics.csv"))
        if found and found[0].read_text().count("\n") > step:
            return found[0].parent
        time.sleep(0.02)
    raise AssertionError("the run did not get that far")


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["SIGKILL", "SIGTERM"])
def test_kill_and_resume_gives_the_same_bits(command, start, tmp_path, sign):
    steps = ["fit.steps=60", "fit.checkpoint_every=7", "fit.log_every=3", "fit.validate_every=10"]
    assert main(command("name=whole", *steps)) == 0
    running = start(command(*steps))
    run = wait_for_step(tmp_path / "runs", 5)
    running.send_signal(getattr(signal, sign))
    _, errors = running.communicate(timeout=60)
    assert running.returncode == (-9 if sign == "SIGKILL" else 1), errors
    if sign == "SIGTERM":
        assert "crystalfw run --resume" in errors
    assert main(["run", "--resume", str(run)]) == 0
    same(losses(tmp_path / "runs" / "whole"), losses(run))
    assert rows(tmp_path / "runs" / "whole" / "samples.csv") == rows(run / "samples.csv")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_give_the_same_losses(command, start, tmp_path, strategy):
    steps = ["fit.steps=12", "fit.checkpoint_every=3"]
    assert main(command("name=one", *steps)) == 0
    running = start(command("name=two", *steps, f"fabric.strategy={strategy}", "fabric.devices=2"))
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 0, errors
    one, two = losses(tmp_path / "runs" / "one"), losses(tmp_path / "runs" / "two")
    assert one["step"] == two["step"]
    assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
    assert len(rows(tmp_path / "runs" / "two" / "samples.csv")) == 4


@pytest.mark.slow
def test_a_sharded_run_resumes(command, start, tmp_path):
    """Weights and optimiser state go whole into the checkpoint and come back sharded."""
    steps = ["fit.steps=20", "fit.checkpoint_every=4", "sample.n=1"]
    assert main(command("name=one", *steps)) == 0
    running = start(command(*steps, "fabric.strategy=fsdp", "fabric.devices=2"))
    run = wait_for_step(tmp_path / "runs", 6)
    running.terminate()
    running.communicate(timeout=60)
    _, errors = (again := start(["run", "--resume", str(run)])).communicate(timeout=300)
    assert again.returncode == 0, errors
    assert losses(run)["loss"] == pytest.approx(losses(tmp_path / "runs" / "one")["loss"], abs=1e-5)


def test_accumulation_gives_the_same_losses(command, tmp_path):
    assert main(command("name=one", "sample.n=1")) == 0
    assert main(command("name=four", "sample.n=1", "fit.accumulate=4")) == 0
    one, four = losses(tmp_path / "runs" / "one"), losses(tmp_path / "runs" / "four")
    assert four["loss"] == pytest.approx(one["loss"], abs=1e-5)


def test_dry_run_writes_nothing(command, tmp_path, capsys):
    assert main([*command(), "--dry-run"]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_a_regressor_predicts(command, tmp_path):
    arguments = command("fit.steps=60", "model.decoder.columns=[gap]", "data.test=0.2", recipe="regress")
    assert main(arguments) == 0
    errors = json.loads((tmp_path / "runs" / "regress" / "metrics.json").read_text())["prediction"]["gap"]
    assert errors["mae"] < errors["mae_of_the_median"]


def test_training_starts_from_the_weights_of_another_run(finished, table, cache, tmp_path, capsys):
    common = [f"data.path={table}", f"data.cache={cache}", f"run_dir={tmp_path}", "fit.steps=1", "fit.lr=1e-6", "sample.n=2"]
    start = [*common, f"model.checkpoint={finished}"]
    assert main(["run", "smoke", *start, "name=tuned"]) == 0
    before, after = Trained.load(finished).generator.state_dict(), Trained.load(tmp_path / "tuned").generator.state_dict()
    assert all(torch.allclose(after[name], value, atol=1e-4) for name, value in before.items())
    assert main(["run", "smoke", *start, "model.decoder.dim=48"]) == 2
    assert "do not fit this recipe's section model" in capsys.readouterr().err
    assert main(["run", "smoke", *common, "model.checkpoint=nowhere", "--dry-run"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_weights_for_other_tokens_are_refused(finished):
    trained = Trained.load(finished)
    other = SimpleNamespace(vocabulary=replace(trained.components.representation.vocabulary, pad=3))
    recipe = replace(trained.recipe, model=replace(trained.recipe.model, checkpoint=str(finished)))
    with pytest.raises(CheckpointError, match="another vocabulary"):
        start_weights(recipe, replace(trained.components, representation=other), trained.generator, print)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_a_run_trains_its_predictor_and_is_judged_by_it(table, cache, tmp_path, capsys):
    data = [f"data.path={table}", f"data.cache={cache}", f"run_dir={tmp_path}", "fabric.threads=1", "fabric.precision=32-true"]
    small = ["fit.steps=4", "sample.n=2", "sample.max_length=60", "evaluate.predictor=train", "fit.max_minutes=0.05"]
    assert main(["run", "property", *data, *small, "model.encoder.columns=[gap]"]) == 0
    run = tmp_path / "property"
    figures = json.loads((run / "predictor" / "regress" / "run" / "metrics.json").read_text())
    assert figures["prediction"]["gap"]["mae"] > 0
    judged = json.loads((run / "metrics.json").read_text())["metrics"]["conditional"]
    assert judged["options"]["predictor"].endswith("predictor/regress/run")
