"""Sequences on disk and selections of them."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.system.sequences import Picked, Spool, Strings
from crystalfw.core.testing.crystals import small_crystals


def same(one, other):
    return one.id == other.id and np.array_equal(one.frac_coords, other.frac_coords) and one.properties == other.properties


def test_a_spool_is_the_sequence_that_was_written(tmp_path):
    crystals = [Crystal.from_structure(one.structure, id=one.id, properties={"a": k}) for k, one in enumerate(small_crystals())]
    spool = Spool(iter(crystals), tmp_path / "new")
    assert isinstance(spool, Sequence)
    assert len(spool) == len(crystals)
    assert all(same(*pair) for pair in zip(spool, crystals, strict=True))
    assert all(same(*pair) for pair in zip(reversed(spool), reversed(crystals), strict=True))
    assert same(spool[-1], crystals[-1])
    assert [crystal.id for crystal in spool[1:3]] == [crystal.id for crystal in crystals[1:3]]
    with pytest.raises(IndexError, match=f"item {len(crystals)} of"):
        spool[len(crystals)]
    assert not list((tmp_path / "new").iterdir())


def test_two_readers_do_not_disturb_each_other():
    spool = Spool(range(1000))
    assert [(a, b) for a, b in zip(spool, reversed(spool), strict=True)] == [(k, 999 - k) for k in range(1000)]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux to count files")
def test_a_spool_closes_its_file():
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    spools = [Spool([k]) for k in range(20)]
    assert len(os.listdir("/proc/self/fd")) == before + 20
    del spools
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_picked_items_are_made_when_asked_for():
    made = []
    picked = Picked(range(100), np.array([5, 50, 7]), lambda k: made.append(k) or k * k)
    assert (len(picked), made) == (3, [])
    assert list(picked) == [25, 2500, 49]
    assert picked[1] == 2500
    assert list(picked.keep(np.array([True, False, True]))) == [25, 49]


def test_strings():
    words = ["", "mp-1", "Ä\u2028", "\udcff", "x" * 10_000]
    assert list(Strings(words)) == words
    assert Strings(words)[-1] == words[-1]
