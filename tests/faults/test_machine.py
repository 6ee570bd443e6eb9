"""Full disks, folders that cannot be written, memory that ends, clocks that jump, two runs at once, Ctrl-C twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from crystalfw.core.model import checkpoint
from crystalfw.core.model.logbook import read_metrics

from .kill import difference
from .stages import STAGES, newest
from .test_processes import same, wait_for_step

SHORT = ["fit.steps=4", "fit.log_every=1", "fit.validate_every=2", "sample.n=1", "evaluate.metrics=[]"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small file system needs root")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this machine does not let root mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave: int) -> Path:
    """A file that takes all room but `leave` bytes."""
    filler = folder / "filler"
    free = shutil.disk_usage(folder).free
    filler.write_bytes(bytes(free - leave))
    return filler


@pytest.mark.parametrize("leave", [12_000, 60_000])
@pytest.mark.parametrize("stage", ["prepare", "fit", "sample", "decode", "evaluate"])
def test_a_full_disk_is_a_sentence_and_nothing_is_lost(warm, bench, small_disk, tmp_path, stage, leave):
    whole, out = tmp_path / "whole", small_disk / "work"
    whole.mkdir()
    out.mkdir()
    warm.run(STAGES[stage].command(bench, whole), cwd=whole)
    filler = fill(small_disk, leave)
    child = warm.start(STAGES[stage].command(bench, out), cwd=out)
    code = child.wait(300)
    if code != 0 or stage in ("fit", "prepare"):
        assert code in (1, 2), child.output
        assert "No space left" in child.output
        assert "Traceback" not in child.output
    filler.unlink()
    warm.run((STAGES[stage].again or STAGES[stage].command)(bench, out), cwd=out)
    assert difference(STAGES[stage].results(whole), STAGES[stage].results(out)) == ""


@pytest.mark.parametrize("stage", ["prepare", "fit", "sample", "decode", "evaluate", "ablate"])
def test_a_folder_that_cannot_be_written_is_a_sentence(warm, bench, small_disk, tmp_path, stage):
    out = small_disk / "work"
    out.mkdir()
    if stage == "ablate":
        shutil.copy(bench.grid, tmp_path)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    command = STAGES[stage].command(bench, out)
    if stage == "ablate":
        command = ["ablate", str(bench.grid), "--out", str(out / "study")]
    child = warm.start(command, cwd=tmp_path)
    assert child.wait(120) in (1, 2), child.output
    assert str(out) in child.output
    assert "ead-only file system" in child.output
    assert "Traceback" not in child.output


def test_memory_that_ends_halves_the_batch_and_says_so(warm, bench, tmp_path):
    """Each crystal of a batch really takes 200 MB for a moment; there is 1 GB, and a batch holds 8."""
    command = [*bench.fit(tmp_path / "two"), *SHORT, "fit.accumulate=2"]
    warm.run(command)
    starved = warm.start([*bench.fit(tmp_path / "starved"), *SHORT], STARVED="200,1000")
    assert starved.wait(120) == 0, starved.output
    assert (
        "out of memory in training at step 1: continues with 2 micro-batches of 4 crystals instead of 1 of 8" in starved.output
    )
    assert "out of memory in validation" in starved.output
    first, second = (read_metrics(newest(tmp_path / name) / "metrics.csv") for name in ("two", "starved"))
    same(
        {name: first[name] for name in ("step", "loss", "val_loss", "tokens")},
        {n: second[n] for n in ("step", "loss", "val_loss", "tokens")},
    )


def test_memory_for_less_than_one_crystal_is_a_sentence(warm, bench, tmp_path):
    child = warm.start([*bench.fit(tmp_path), *SHORT], STARVED="2000,1000")
    assert child.wait(120) == 2, child.output
    assert "with one crystal at a time: lower data.max_atoms" in child.output
    assert "Traceback" not in child.output


def test_time_limits_do_not_follow_a_clock_that_jumps(warm, bench, tmp_path):
    """The wall clock jumps by a day at every look; the limit of two seconds holds all the same."""
    command = [*bench.fit(tmp_path), *SHORT, "fit.steps=100000", "fit.max_minutes=0.033", "fit.checkpoint_every=100000"]
    warm.run(command, CLOCK="jumps")
    state = checkpoint.load(newest(tmp_path) / "checkpoints" / "last.pt")["state"]
    assert state["finished"] == "done"
    assert 1.98 <= state["elapsed_s"] < 10
    assert state["step"] > 1


def test_the_second_run_in_a_folder_refuses(warm, bench, tmp_path):
    first = warm.start([*bench.fit(tmp_path), *SHORT, "fit.steps=12"], SLOWED="0.3")
    run = wait_for_step(tmp_path, 1)
    second = warm.start(["run", "--resume", str(run)])
    assert second.wait(60) == 2
    assert f"{run}: another process is working in this run folder" in second.output
    assert first.wait(120) == 0, first.output


def test_ctrl_c_twice_leaves_at_once_and_loses_nothing(warm, bench, tmp_path):
    command = [*SHORT, "fit.steps=8", "fit.checkpoint_every=3"]
    warm.run([*bench.fit(tmp_path / "whole"), *command])
    child = warm.start([*bench.fit(tmp_path / "cut"), *command], SLOWED="3")
    run = wait_for_step(tmp_path / "cut", 3)
    child.send(signal.SIGINT)
    end = time.monotonic() + 30
    while "Ctrl-C again leaves at once" not in child.output:
        assert time.monotonic() < end
        time.sleep(0.02)
    child.send(signal.SIGINT)
    assert child.wait(30) == 1
    assert f"crystalfw run --resume {run}" in child.output
    assert "Traceback" not in child.output
    warm.run(["run", "--resume", str(run)])
    stage = STAGES["fit"]
    assert difference(stage.results(tmp_path / "whole"), stage.results(tmp_path / "cut")) == ""


def test_what_a_killed_process_was_writing_is_removed(warm, bench, tmp_path):
    warm.run([*bench.fit(tmp_path), *SHORT])
    run = newest(tmp_path)
    left = [run / ".metrics.json.7.tmp", run / "checkpoints" / ".last.pt.7.tmp"]
    for path in left:
        path.write_bytes(b"half")
    warm.run(["run", "--resume", str(run)])
    assert not any(path.exists() for path in left)


def test_a_second_ablation_in_a_folder_refuses(warm, bench, tmp_path):
    first = warm.start(STAGES["ablate"].command(bench, tmp_path), cwd=tmp_path)
    end = time.monotonic() + 60
    while "runs to do" not in first.output:
        assert time.monotonic() < end
        time.sleep(0.02)
    second = warm.start(["ablate", str(bench.grid), "--out", str(tmp_path / "study")])
    assert second.wait(60) == 2
    assert "another process is working in this run folder" in second.output
    first.send(signal.SIGTERM)
    assert first.wait(120) == 1
