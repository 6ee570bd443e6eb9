"""Two and four processes on one machine, started as torchrun and as SLURM start them: same losses, same ends."""

from __future__ import annotations

import csv
import os
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from packaging.version import Version

from crystalfw.core.model import checkpoint
from crystalfw.core.model.logbook import read_metrics
from crystalfw.core.model.sharding import CPU_SINCE

from .stages import newest, unrounded

NEEDS_SHARDING = pytest.mark.skipif(Version(torch.__version__) < CPU_SINCE, reason=f"torch shards on CPUs since {CPU_SINCE}")
FSDP = pytest.param("fsdp", marks=NEEDS_SHARDING)

UNEVEN = ["fit.batch_size=5", "fit.steps=10", "fit.validate_every=2", "fit.log_every=1", "sample.n=1", "evaluate.metrics=[]"]


def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def torchrun(rank: int, ranks: int, at: int) -> dict[str, str]:
    """What torchrun sets on one node."""
    return {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(at), "TORCHELASTIC_RUN_ID": "none",
    }  # fmt: skip


def slurm(rank: int, ranks: int, at: int) -> dict[str, str]:
    """What srun sets, for one node per rank: all of them this one."""
    return {
        "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "study", "SLURM_NTASKS": str(ranks), "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": str(ranks), "SLURM_NODELIST": "127.0.0.1,localhost", "SLURM_PROCID": str(rank), "SLURM_LOCALID": "0",
        "SLURM_NODEID": str(rank), "MASTER_PORT": str(at),
    }  # fmt: skip


def start(warm, arguments, ranks=2, how=torchrun, **variables):
    at = port()
    devices = [f"fabric.devices={ranks}"] if how is torchrun else ["fabric.devices=1", f"fabric.num_nodes={ranks}"]
    return [warm.start([*arguments, *devices], **how(rank, ranks, at), **variables) for rank in range(ranks)]


def finish(children) -> None:
    for rank, child in enumerate(children):
        assert child.wait(300) == 0, f"rank {rank}: {child.output}"


def curves(out: Path) -> dict[str, list[str]]:
    found = read_metrics(newest(out) / "metrics.csv")
    return {name: found[name] for name in found if name in ("step", "loss") or name.startswith("val_")}


def same(first, second) -> None:
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert values == pytest.approx(second[name], abs=1e-5, nan_ok=True), name


def wait_for_step(out: Path, step: int) -> Path:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for path in (out / "runs").glob("smoke-*/metrics.csv"):
            if path.read_text().count("\n") > step:
                return path.parent
        time.sleep(0.02)
    raise AssertionError("the run did not get that far")


@pytest.fixture(scope="module")
def alone(warm, bench, tmp_path_factory):
    """The uneven run in one process."""
    out = tmp_path_factory.mktemp("alone")
    warm.run([*bench.fit(out), *UNEVEN])
    return out


@pytest.mark.parametrize("strategy", ["ddp", FSDP])
def test_two_ranks_and_a_batch_that_does_not_divide(warm, bench, alone, tmp_path, strategy):
    finish(start(warm, [*bench.fit(tmp_path), *UNEVEN, "fit.accumulate=2", f"fabric.strategy={strategy}"]))
    same(curves(alone), curves(tmp_path))


def test_fewer_validation_crystals_than_ranks(warm, bench, tmp_path):
    """Two ranks, one validation crystal, a model with buffers and named losses: rank 1 has nothing of its own to say."""
    recipe = Path(__file__).parents[2] / "recipes" / "regress.yaml"
    data = [f"data.path={bench.table}", f"data.cache={bench.cache}", "data.validation=0.05", "data.test=0", "data.workers=1"]
    model = ["model.decoder.columns=[gap]", "fit.steps=4", "fit.validate_every=2", "fit.log_every=1", "fit.batch_size=6"]
    small = [*data, *model, "data.max_crystals=24", "fabric.accelerator=cpu", "fabric.precision=32-true"]
    small += ["name=smoke", "fit.max_minutes=null"]
    warm.run(["run", str(recipe), *small, f"run_dir={tmp_path / 'one' / 'runs'}"])
    finish(start(warm, ["run", str(recipe), *small, f"run_dir={tmp_path / 'two' / 'runs'}"]))
    one, two = curves(tmp_path / "one"), curves(tmp_path / "two")
    assert "val_mae.gap" in one
    same(one, two)


def test_early_stop_is_agreed_on(warm, bench, tmp_path):
    """Without a learning rate nothing gets better: both ranks end at the validation after `patience`."""
    finish(start(warm, [*bench.fit(tmp_path), *UNEVEN, "fit.steps=40", "fit.lr=0", "fit.patience=2"]))
    state = checkpoint.load(newest(tmp_path) / "checkpoints" / "last.pt")["state"]
    assert state["finished"].startswith("early stop")
    assert state["step"] == 8  # validations at 2 (best), 4, 6, 8


@pytest.mark.parametrize("ranks", [2, 3])
def test_samples_do_not_depend_on_the_number_of_processes(warm, bench, tmp_path, ranks):
    many = ["fit.steps=1", "sample.n=18"]
    warm.run([*bench.fit(tmp_path / "one"), *many])
    finish(start(warm, [*bench.fit(tmp_path / "many"), *many], ranks=ranks))
    one, several = (newest(tmp_path / name) / "samples.csv" for name in ("one", "many"))
    assert unrounded(one) == unrounded(several)
    rows = [list(csv.DictReader(path.read_text().splitlines(keepends=True))) for path in (one, several)]
    assert len(rows[0]) == 18
    for first, second in zip(*rows, strict=True):
        assert float(first["log_prob"]) == pytest.approx(float(second["log_prob"]), abs=1e-3)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_is_killed_ends_the_others_with_a_sentence(warm, bench, alone, tmp_path, victim):
    ranks = start(warm, [*bench.fit(tmp_path), *UNEVEN, "fit.steps=2000", "fit.checkpoint_every=2"])
    run = wait_for_step(tmp_path, 4)
    ranks[victim].send(signal.SIGKILL)
    killed = time.monotonic()
    assert ranks[1 - victim].wait(60) == 1
    assert time.monotonic() - killed < 60
    output = ranks[1 - victim].output
    assert f"process {victim} of this run is gone" in output
    assert f"crystalfw run --resume {run}" in output
    assert "Traceback" not in output
    step = checkpoint.load(run / "checkpoints" / "last.pt")["state"]["step"]
    assert 2 <= step < 2000
    # the same first steps as an undisturbed run: what the checkpoint holds is what was trained
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("steps: 2000", f"steps: {step + 2}"))
    finish(start(warm, ["run", "--resume", str(run)]))
    losses = read_metrics(run / "metrics.csv")["loss"]
    assert len(losses) == step + 2


@NEEDS_SHARDING
def test_a_checkpoint_of_a_sharded_run_goes_on_in_one_process_and_back(warm, bench, alone, tmp_path):
    ranks = start(warm, [*bench.fit(tmp_path), *UNEVEN, "fabric.strategy=fsdp", "fit.checkpoint_every=3"], SLOWED="0.2")
    run = wait_for_step(tmp_path, 4)
    for child in ranks:
        child.send(signal.SIGTERM)
    assert [child.wait(60) for child in ranks] == [1, 1]
    first = checkpoint.load(run / "checkpoints" / "last.pt")["state"]["step"]
    assert first < 10
    one = warm.start(["run", "--resume", str(run), "fabric.devices=1", "fabric.strategy=auto"], SLOWED="0.2")
    wait_for_step(tmp_path, first + 1)
    one.send(signal.SIGTERM)
    assert one.wait(60) in (0, 1), one.output
    finish(start(warm, ["run", "--resume", str(run), "fabric.strategy=fsdp"]))
    same(curves(alone), curves(tmp_path))


# --- SLURM --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A stand-in on PATH that writes down what it was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "scontrol"
    command.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    command.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "asked": tmp_path / "asked"}


def test_slurm_requeues_on_sigusr1_and_goes_on_in_the_same_folder(warm, bench, alone, tmp_path, scontrol):
    command = [*bench.fit(tmp_path), *UNEVEN, "fit.checkpoint_every=100"]
    ranks = start(warm, command, how=slurm, PATH=scontrol["PATH"], SLOWED="0.2")
    run = wait_for_step(tmp_path, 3)
    for child in ranks:
        child.send(signal.SIGUSR1)
    assert [child.wait(60) for child in ranks] == [1, 1], ranks[0].output
    assert scontrol["asked"].read_text() == "requeue 4711\n"
    assert "queued again" in ranks[0].output
    again = start(warm, command, how=slurm, PATH=scontrol["PATH"], SLURM_RESTART_COUNT="1")
    finish(again)
    assert f"resumes in {run}" in again[0].output
    assert [path.name for path in (tmp_path / "runs").glob("smoke-*")] == [run.name]
    same(curves(alone), curves(tmp_path))


def test_slurm_does_not_requeue_what_scancel_stops(warm, bench, tmp_path, scontrol):
    command = [*bench.fit(tmp_path), *UNEVEN, "fit.steps=2000"]
    ranks = start(warm, command, how=slurm, PATH=scontrol["PATH"])
    run = wait_for_step(tmp_path, 3)
    for child in ranks:
        child.send(signal.SIGTERM)
    assert [child.wait(60) for child in ranks] == [1, 1]
    assert not scontrol["asked"].exists()
    assert checkpoint.load(run / "checkpoints" / "last.pt")["state"]["step"] >= 3


def test_slurm_requeues_a_run_that_has_not_begun_to_train(warm, bench, tmp_path, scontrol):
    """The time limit may come while data is prepared or samples are evaluated: the same sentence, the same requeue."""
    command = [*bench.fit(tmp_path), f"data.cache={tmp_path / 'cache'}", "fit.steps=2", "sample.n=1", "evaluate.metrics=[]"]
    (child,) = start(warm, command, ranks=1, how=slurm, PATH=scontrol["PATH"])
    while not list((tmp_path / "runs").glob("smoke-*/recipe.yaml")):
        time.sleep(0.005)
    child.send(signal.SIGUSR1)
    assert child.wait(60) == 1
    assert "stopped by SIGUSR1" in child.output
    assert "Traceback" not in child.output
    assert scontrol["asked"].read_text() == "requeue 4711\n"
    finish(start(warm, command, ranks=1, how=slurm, PATH=scontrol["PATH"], SLURM_RESTART_COUNT="1"))
    assert checkpoint.load(newest(tmp_path) / "checkpoints" / "last.pt")["state"]["finished"] == "done"


# --- four ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", FSDP])
def test_four_ranks(warm, bench, alone, tmp_path, strategy):
    """Batches of 5 over 4 ranks: one crystal for most; validation batches of 3 leave a rank empty each."""
    finish(start(warm, [*bench.fit(tmp_path), *UNEVEN, f"fabric.strategy={strategy}"], ranks=4))
    same(curves(alone), curves(tmp_path))
