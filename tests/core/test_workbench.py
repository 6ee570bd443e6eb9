"""The parallel, resumable map that metrics share."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from crystalfw.core.timelimit import TimeLimitExceeded, time_limit
from crystalfw.core.workbench import Workbench


def square(value: int) -> int:
    return value * value


def logged(item: tuple[int, str]) -> int:
    value, path = item
    with open(path, "a") as file:
        file.write(f"{value}\n")
    return value


def test_results_come_in_the_order_of_the_items():
    items = list(range(200))
    with Workbench(workers=2, quiet=True) as bench:
        assert bench.map("squares", square, items, [str(k) for k in items]) == [k * k for k in items]


def test_equal_keys_are_computed_once(tmp_path):
    log = tmp_path / "log"
    with Workbench(quiet=True) as bench:
        assert bench.map("x", logged, [(1, str(log)), (1, str(log)), (2, str(log))], ["a", "a", "b"]) == [1, 1, 2]
    assert log.read_text() == "1\n2\n"


def test_a_killed_evaluation_goes_on(tmp_path):
    log, store = tmp_path / "log", tmp_path / "store.jsonl"
    items = [(k, str(log)) for k in range(5)]
    keys = [str(k) for k in range(5)]
    with Workbench(store=store, quiet=True) as bench:
        bench.map("x", logged, items[:3], keys[:3])
    store.write_bytes(store.read_bytes()[:-3])
    with Workbench(store=store, quiet=True) as bench:
        assert bench.map("x", logged, items, keys) == [0, 1, 2, 3, 4]
    assert log.read_text().split() == ["0", "1", "2", "2", "3", "4"]
    with Workbench(store=store, quiet=True) as bench:
        assert bench.map("x", logged, items, keys) == [0, 1, 2, 3, 4]
    assert len(log.read_text().split()) == 6


def wait_too_long() -> None:
    with time_limit(0.05):
        while True:
            Path(".").exists()


def test_time_limit():
    began = time.monotonic()
    with pytest.raises(TimeLimitExceeded):
        wait_too_long()
    assert time.monotonic() - began < 5
    with time_limit(0.05):
        pass
    time.sleep(0.06)
    with time_limit(0):
        pass
