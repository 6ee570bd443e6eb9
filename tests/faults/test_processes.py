"""Two and four processes on one machine, started as torchrun and as SLURM start them: same losses, same ends."""

from __future__ import annotations

import csv
import signal
import socket
import time
from pathlib import Path

import pytest

from crystalfw.core import checkpoint
from crystalfw.core.logbook import read_metrics

from .stages import newest

UNEVEN = ["fit.batch_size=7", "fit.steps=10", "fit.validate_every=2", "fit.log_every=1", "sample.n=1", "evaluate.metrics=[]"]


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


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_ranks_and_a_batch_that_does_not_divide(warm, bench, alone, tmp_path, strategy):
    finish(start(warm, [*bench.fit(tmp_path), *UNEVEN, "fit.accumulate=2", f"fabric.strategy={strategy}"]))
    same(curves(alone), curves(tmp_path))
