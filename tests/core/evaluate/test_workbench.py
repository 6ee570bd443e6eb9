"""The parallel, resumable map that metrics share."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from crystalfw.core.evaluate import workbench
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.system.time_limit import TimeLimitExceeded, time_limit


def square(value: int) -> int:
    return value * value


def logged(item: tuple[int, str]) -> int:
    value, path = item
    with open(path, "a") as file:
        file.write(f"{value}\n")
    return value


def asked(keys: Iterable[object], items: Iterable[object]) -> Iterator[tuple[str, object]]:
    return ((str(key), item) for key, item in zip(keys, items, strict=True))


@pytest.fixture
def at_once(monkeypatch):
    """Workers from the first question on."""
    monkeypatch.setattr(workbench, "ALONE", -1.0)


@pytest.mark.parametrize("total", [200, None])
def test_results_come_in_the_order_of_the_questions(total, at_once):
    with Workbench(workers=2, quiet=True) as bench:
        assert list(bench.map("squares", square, asked(range(200), range(200)), total)) == [k * k for k in range(200)]
        assert bench._executor is not None


def test_equal_keys_are_computed_once(tmp_path):
    log = tmp_path / "log"
    with Workbench(quiet=True) as bench:
        items = [(1, str(log)), (1, str(log)), (2, str(log))]
        assert list(bench.map("x", logged, asked("aab", items))) == [1, 1, 2]
        assert list(bench.map("y", logged, asked("ba", items[:2]))) == [2, 1]
    assert log.read_text() == "1\n2\n"


def test_equal_keys_are_computed_once_by_workers(tmp_path, at_once):
    log = tmp_path / "log"
    with Workbench(workers=2, quiet=True) as bench:
        values = [k % 50 for k in range(500)]
        assert list(bench.map("x", logged, asked(values, ((k, str(log)) for k in values)), 500)) == values
    assert sorted(map(int, log.read_text().split())) == list(range(50))


def test_questions_are_a_stream():
    read = []

    def questions() -> Iterator[tuple[str, int]]:
        for k in range(5000):
            read.append(k)
            yield str(k), k

    with Workbench(quiet=True) as bench:
        answers = bench.map("x", square, questions(), 5000)
        assert [next(answers) for _ in range(3)] == [0, 1, 4]
        assert len(read) <= 1000


@pytest.mark.parametrize("total", [3, None])
def test_the_last_line_is_printed_also_for_who_stops_asking(total, monkeypatch, capsys):
    monkeypatch.setattr("crystalfw.core.system.progress._BRIEF", -1.0)
    with Workbench() as bench:
        answers = bench.map("squares", square, asked(range(3), range(3)), total)
        assert [next(answers) for _ in range(3)] == [0, 1, 4]
        if total is None:
            assert next(answers, "end") == "end"
    shown = capsys.readouterr().err
    assert shown.count("squares 3") == 1


def test_a_killed_evaluation_goes_on(tmp_path):
    log, store = tmp_path / "log", tmp_path / "store"
    items = [(k, str(log)) for k in range(5)]
    with Workbench(store=store, quiet=True) as bench:
        assert list(bench.map("x", logged, asked(range(3), items[:3]))) == [0, 1, 2]
    with Workbench(store=store, quiet=True) as bench:
        assert list(bench.map("x", logged, asked(range(5), items))) == [0, 1, 2, 3, 4]
    assert log.read_text().split() == ["0", "1", "2", "3", "4"]


def test_once_is_once_for_each_object():
    with Workbench(quiet=True) as bench:
        first, second = [1], [1]
        assert bench.once("x", lambda: "first", first) == "first"
        assert bench.once("x", lambda: "again", first) == "first"
        assert bench.once("x", lambda: "second", second) == "second"
        assert bench.once("y", lambda: "other", first) == "other"


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
