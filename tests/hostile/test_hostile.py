"""A fast share of the attacks; `python -m tests.hostile` makes all of them."""

from __future__ import annotations

import os

import pytest

from tests.hostile import fuzz, others
from tests.hostile.corpus import broken_files
from tests.hostile.files import HANG, MAX_MB, attack


@pytest.mark.parametrize("what", list(others.ATTACKS))
def test_attack(what, tmp_path):
    others.run(what, tmp_path)


def test_a_hundred_broken_files(tmp_path):
    results = list(attack(broken_files(100, seed=7, large=False), tmp_path))
    assert len(results) == 100
    assert [(r.file.what, r.ending, r.reasons) for r in results if not r.survived] == []
    assert max(r.seconds for r in results) < HANG
    assert max(r.peak_mb for r in results) < MAX_MB
    assert {r.ending for r in results} == {"crystals", "set aside", "refused"}


def test_memory_of_the_process_that_watches_is_not_counted(tmp_path):
    held = bytearray(os.urandom(2**20)) * (MAX_MB + 100)
    (first,) = attack(broken_files(1, seed=7, large=False), tmp_path)
    assert len(held) > first.peak_mb * 2**20
    assert first.survived


def test_the_same_seed_gives_the_same_files():
    first, second = ([file.content for file in broken_files(150, seed=3, large=False)] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", list(fuzz.examples()))
def test_fuzz_for_a_moment(name, tmp_path):
    target, good = fuzz.examples()[name]
    found, tries = fuzz._fuzz_one(target, good, tmp_path, 0.3, number=0)
    assert found == ""
    assert tries > 0
