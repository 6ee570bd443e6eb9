"""An executor that a plugin supplies does the work, is told the address, and is shut down at the end."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from crystalfw.core.commands._rows import run_rows
from crystalfw.core.data.executor import map_ordered, open_executor
from crystalfw.core.discovery import plugins
from crystalfw.core.errors import CrystalfwError
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.hookspecs import hookimpl
from crystalfw.core.registry import Origin
from crystalfw.core.system.resumable_csv import RowFile


class Pool(ThreadPoolExecutor):
    """Counts calls, remembers its end."""

    width = 3

    def __init__(self) -> None:
        super().__init__(3)
        self.calls, self.ended = 0, False

    def submit(self, fn, /, *args, **kwargs):
        self.calls += 1
        return super().submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.ended = True
        super().shutdown(wait, cancel_futures=cancel_futures)


class Mine:
    """A plugin with an executor."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.pools: list[Pool] = []

    @hookimpl
    def crystalfw_executor(self, name: str, address: str, workers: int) -> Executor | None:
        if name != "mine":
            return None
        self.asked.append((address, workers))
        self.pools.append(Pool())
        return self.pools[-1]


@pytest.fixture
def mine():
    plugin = Mine()
    plugins().register(plugin, Origin("mine", "1"))
    yield plugin
    plugins().manager.unregister(plugin)


def doubled(text: str) -> list[list[str]]:
    return [[text, "ok", 2 * text]]


def length(text: str) -> int:
    return len(text)


def test_rows_and_evaluation(mine, tmp_path: Path, monkeypatch):
    for module in ("data.executor", "evaluate.workbench"):
        monkeypatch.setattr(f"crystalfw.core.{module}.ALONE", -1.0)
    with RowFile(tmp_path / "x.csv", ("id", "status", "out"), {}) as out:
        calls = (("a" * k,) for k in range(1, 20))
        assert run_rows("x", out, doubled, calls, status=1, workers=1, executor="mine:tcp://here:1")["ok"] == 19
    assert (tmp_path / "x.csv").read_text().splitlines()[1:] == [f"{'a' * k},ok,{'aa' * k}" for k in range(1, 20)]
    with Workbench(executor="mine", quiet=True) as bench:
        assert list(bench.map("x", length, ((str(k), "a" * k) for k in range(100)), 100)) == list(range(100))
    assert mine.asked == [("tcp://here:1", 1), ("", 1)]
    assert all(pool.calls and pool.ended for pool in mine.pools)


class Dying(Executor):
    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        future.set_exception(BrokenExecutor("gone"))
        return future


def test_a_worker_that_died_is_a_sentence():
    with pytest.raises(CrystalfwError, match="a worker process died"):
        list(map_ordered(Dying(), length, [("a",)]))


def test_an_error_ends_the_executor(mine):
    with pytest.raises(ZeroDivisionError), open_executor(2, name="mine"):
        raise ZeroDivisionError
    assert mine.pools[0].ended
