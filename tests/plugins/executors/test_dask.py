"""Preparation, decoding and evaluation on a dask cluster of two worker processes, one of which is killed: the same bytes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from crystalfw.core.commands.cli import main
from crystalfw.core.data import Dataset
from crystalfw.core.data import prepare as prepare_data
from crystalfw.core.data.executor import map_ordered, open_executor
from crystalfw.core.errors import CrystalfwError, PluginError
from crystalfw.core.recipe.options import create
from crystalfw.core.recipe.schema import DataSection
from crystalfw.core.sample.export import extxyz
from crystalfw.core.testing.crystals import rotated, rotation, small_crystals, translated

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", silence_logs=50
    ) as running:
        yield running


def kill_one(cluster) -> None:
    with distributed.Client(cluster, set_as_default=False) as client:
        pids = client.run(os.getpid)
    os.kill(next(iter(pids.values())), signal.SIGKILL)


def structures(path: Path, count: int) -> Path:
    """Small crystals, turned and moved, all different."""
    base = small_crystals()
    with open(path, "w") as file:
        for k in range(count):
            crystal = translated(rotated(base[k % len(base)], rotation(k)), 0.001 * k)
            file.write(extxyz(crystal, f"c{k}"))
    return path


def prepared(source_path: Path, cache: Path, executor: str, progress=None, workers: int = 2) -> Dataset:
    source = create("source", "files", path=str(source_path))
    transforms = [create("transform", name) for name in ("standardize", "normalize_positions")]
    data = DataSection(cache=str(cache), workers=workers, executor=executor)
    slices = create("representation", "slices")
    return prepare_data(data, source, transforms, slices, key="x", seed=0, cutoff=4.0, progress=progress)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_preparation(cluster, tmp_path, monkeypatch):
    module = sys.modules["crystalfw.core.data.prepare"]  # the package has a function of this name
    monkeypatch.setattr("crystalfw.core.data.executor.ALONE", 0.0)
    monkeypatch.setattr(module, "SHARD", 16)
    source = structures(tmp_path / "x.extxyz", 400)
    killed = []

    def progress(done: int, note: str, total: int | None) -> None:
        if done >= 64 and not killed:
            killed.append(done)
            kill_one(cluster)

    there = prepared(source, tmp_path / "dask", f"dask:{cluster.scheduler_address}", progress)
    alone = prepared(source, tmp_path / "alone", "processes", workers=1)
    assert killed
    assert len(there) == len(alone) == 400
    assert contents(there.folder) == contents(alone.folder)


@pytest.mark.slow
def test_decode_and_evaluate(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("crystalfw.core.data.executor.ALONE", 0.0)
    strings = [item.string for item in create("representation", "slices").encode(small_crystals())]
    (tmp_path / "x.txt").write_text("\n".join(strings * 130))
    outputs = []
    for executor in (f"dask:{cluster.scheduler_address}", "processes"):
        out = tmp_path / executor.partition(":")[0] / "decoded.csv"
        assert main(["decode", str(tmp_path / "x.txt"), "-o", str(out), "--workers", "1", "--executor", executor]) == 0
        arguments = ["evaluate", str(out), "--metrics", "shares", "--workers", "1", "--executor", executor]
        assert main([*arguments, "--out", str(out.parent)]) == 0
        figures = [line for line in capsys.readouterr().out.splitlines() if " of " in line]
        outputs.append((out.read_bytes(), figures))
    assert outputs[0] == outputs[1]
    assert outputs[0][1]


@pytest.mark.slow
def test_it_is_an_executor(cluster):
    with open_executor(2, name=f"dask:{cluster.scheduler_address}") as executor:
        assert executor.width == 2
        assert list(map_ordered(executor, len, (("x" * k,) for k in range(20)), window=5)) == list(range(20))
        with pytest.raises(TypeError):
            executor.submit(len, 3).result()


def test_an_executor_that_nobody_knows():
    with pytest.raises(PluginError, match="no executor called 'slurm'"), open_executor(2, name="slurm:x"):
        pass


def test_a_scheduler_that_does_not_answer(monkeypatch):
    monkeypatch.setattr("crystalfw.plugins.executors.dask._CONNECT_SECONDS", 0.5)
    with pytest.raises(CrystalfwError, match="no scheduler at"), open_executor(2, name="dask:tcp://127.0.0.1:9"):
        pass
