"""Processes that hang or die cost one item each."""

from __future__ import annotations

import os
import time

import pytest

from crystalfw.core.energies import crew
from crystalfw.core.energies.crew import Lost, crewed


def working(by):
    def work(item):
        if item == "hang":
            while True:  # deaf to everything but being ended
                time.sleep(60)
        if item == "die":
            os._exit(9)
        if item == "raise":
            raise ValueError("a mistake in the work")
        return item * by

    return work


def test_order_is_kept_and_what_hangs_or_dies_is_lost_alone(monkeypatch):
    monkeypatch.setattr(crew, "_GRACE", 0.5)
    items = [1, 2, "hang", 3, "die", 4]
    found = list(crewed(working, (10,), items, workers=2, seconds=0.5))
    assert [item for item in found if not isinstance(item, Lost)] == [10, 20, 30, 40]
    assert "did not stop by itself" in str(found[2])
    assert "its process died" in str(found[4])


def test_an_error_of_the_work_reaches_the_caller():
    with pytest.raises(ValueError, match="a mistake in the work"):
        list(crewed(working, (10,), ["raise"], workers=1))


def test_it_stops_at_once_when_asked():
    began = time.monotonic()
    assert list(crewed(working, (10,), ["hang"], workers=1, stopped=lambda: time.monotonic() > began + 4)) == []
    assert time.monotonic() - began < 15
