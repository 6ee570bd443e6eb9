"""What progress says about the time left is true: within a fifth after the first tenth of the time."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.data import prepare
from crystalfw.core.recipe.options import create
from crystalfw.core.recipe.schema import DataSection
from crystalfw.core.system import progress as module
from crystalfw.core.system.progress import Pace, Progress
from crystalfw.core.testing.crystals import small_crystals


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def seconds(text: str) -> float:
    """45 s, 3:20 min, 2:05 h."""
    number, unit = text.split()
    if unit == "s":
        return float(number)
    high, low = map(float, number.split(":"))
    return (60 * high + low) * (60 if unit == "h" else 1)


def told(durations: np.ndarray, total: int, monkeypatch, found: int = 0) -> list[tuple[float, float]]:
    """(share of the time that is over, time left that was said over time left that was) of every line."""
    clock, stream = Clock(), io.StringIO()
    monkeypatch.setattr(module, "time", clock)
    progress = Progress("x", total, stream=stream, every=1.0)
    moments: list[float] = []
    for done, duration in enumerate(durations, start=1):
        clock.now += duration
        before = len(stream.getvalue())
        progress.update(done)
        if "left" in stream.getvalue()[before:]:
            moments.append(clock.now)
    end = clock.now
    lines = [line for line in stream.getvalue().splitlines() if "left" in line]
    said = [seconds(re.search(r"  ([\d:]+ \w+) left", line).group(1)) for line in lines]
    assert len(said) == len(moments)
    return [((now - 1000) / (end - 1000), s / (end - now)) for now, s in zip(moments, said, strict=True) if end - now > 20]


@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize("start", [0.0, 0.04])
def test_time_left_is_true_after_the_first_tenth(monkeypatch, noise, start):
    rng = np.random.default_rng(0)
    durations = 0.5 * (1 + noise * rng.uniform(-1, 1, 4000))
    durations[0] += start * durations.sum()  # imports, compilation
    lines = told(durations, 4000, monkeypatch)
    late = [ratio for share, ratio in lines if share > 0.1]
    assert len(late) > 100
    assert max(abs(ratio - 1) for ratio in late) < 0.2


def test_no_time_left_from_one_item(monkeypatch):
    """A first item that waits for imports used to announce half an hour for work of a minute."""
    lines = told(np.array([30.0, 1.0, 1.0] + [1.0] * 60), 63, monkeypatch)
    assert lines
    assert all(abs(ratio - 1) < 0.2 for _, ratio in lines)


def test_work_found_done_does_not_flatter(monkeypatch):
    durations = np.full(2000, 0.5)
    durations[:1000] = 1e-4  # shards of an earlier start: read, not made
    late = [ratio for share, ratio in told(durations, 2000, monkeypatch) if share > 0.1]
    assert max(abs(ratio - 1) for ratio in late) < 0.2


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=300))
@settings(max_examples=30, deadline=None)
def test_marks_stay_few_and_the_rate_is_one_that_was(steps):
    pace, now, rates = Pace(0, 0.0), 0.0, []
    for done, step in enumerate(steps, start=1):
        now += step
        rates.append(1 / step)
        pace.mark(done, now)
        if done < 3:
            assert pace.rate(done, now) == 0.0  # one item tells nothing of the others
            continue
        assert min(rates) * 0.999 <= pace.rate(done, now) <= max(rates) * 1.001
    assert len(pace._marks) <= 64 * (2 + np.log(max(2, now / min(steps))))


def test_preparation_says_the_total(tmp_path):
    path = tmp_path / "x.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "cif"])
        rows.writerows([k, small_crystals()[k % 4].cif() if k % 10 else "broken"] for k in range(600))
    source = create("source", "table", path=str(path))
    calls: list[tuple[int, str, int | None]] = []
    data = DataSection(cache=str(tmp_path / "cache"), workers=1)
    prepare(data, source, (), None, key="x", seed=0, progress=lambda *arguments: calls.append(arguments))
    assert [(done, total) for done, _, total in calls] == [(256, 600), (512, 600), (600, 600)]
    assert calls[-1][1] == "60 rejected"


def test_files_are_counted(tmp_path):
    for k in range(3):
        (tmp_path / f"{k}.cif").write_text(small_crystals()[0].cif())
    (tmp_path / "notes.txt").write_text("x")
    assert create("source", "files", path=str(tmp_path)).size("train") == 3
