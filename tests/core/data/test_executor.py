from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from crystalfw.core.data.executor import SerialExecutor, map_ordered, open_executor, worker_count
from crystalfw.core.errors import CrystalfwError


def square(number: int) -> int:
    return number * number


def threads() -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail(number: int) -> int:
    raise ValueError(f"no {number}")


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers):
    with open_executor(workers) as executor:
        assert list(map_ordered(executor, square, ((k,) for k in range(50)), window=5)) == [k * k for k in range(50)]


def test_no_more_calls_under_way_than_the_window():
    taken = []

    def calls():
        for k in range(20):
            taken.append(k)
            yield (k,)

    results = map_ordered(SerialExecutor(), square, calls(), window=3)
    assert next(results) == 0
    assert len(taken) == 3


def test_a_dead_worker_is_a_sentence():
    with pytest.raises(CrystalfwError, match="a worker process died"), open_executor(2) as executor:
        list(map_ordered(executor, die, ((k,) for k in range(8))))


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_come_through(workers):
    with pytest.raises(ValueError, match="no 0"), open_executor(workers) as executor:
        list(map_ordered(executor, fail, ((k,) for k in range(4))))


def test_workers_use_one_thread_and_the_environment_is_restored():
    before = os.environ.get("OMP_NUM_THREADS")
    with open_executor(2) as executor:
        assert executor.submit(threads).result() == "1"
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_number_of_workers():
    assert worker_count(3) == 3
    assert worker_count(0) >= 1
    with pytest.raises(CrystalfwError, match=r"0 \(all cores\) or more"):
        worker_count(-1)


_ORPHANS = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from crystalfw.core.data.executor import open_executor
if __name__ == "__main__":
    with open_executor(2) as executor:
        print(*{{executor.submit(os.getpid).result() for _ in range(8)}}, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "orphans.py"
    script.write_text(_ORPHANS.format(folder=str(tmp_path)))
    done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    workers = [int(word) for word in done.stdout.split()]
    assert workers
    deadline = time.monotonic() + 20
    while any(psutil.pid_exists(pid) for pid in workers):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.1)
