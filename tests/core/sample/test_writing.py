"""Progress while samples are written, and how many conditions are read for them."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace

import pytest

from crystalfw.core.errors import Interrupted
from crystalfw.core.recipe.schema import SampleSection
from crystalfw.core.records import Sample
from crystalfw.core.sample.request import DECODE_BLOCK, Request, needed_conditions
from crystalfw.core.sample.table import read_rows, sample_id, write_samples
from crystalfw.core.sample.writing import finish_samples, sample_to_table
from tests.plugins.metrics.crystals import caesium_chloride, rock_salt, sample


def test_two_tables_in_a_folder_keep_their_own_cifs(tmp_path):
    made = {"a": rock_salt(), "b": caesium_chloride(), "samples": rock_salt()}
    for name, crystal in made.items():
        write_samples([sample("000000", crystal)], tmp_path / f"{name}.csv")
        finish_samples(tmp_path / f"{name}.csv", print)
    first, second = ((tmp_path / f"{name}_cifs" / "000000.cif").read_text() for name in ("a", "b"))
    assert first != second
    assert (tmp_path / "cifs" / "000000.cif").read_text() == first


def test_the_first_sample_of_a_block_counts_the_whole_block(tmp_path, monkeypatch):
    told = []

    class Recorder:
        def __init__(self, label: str, total: int) -> None:
            self.close = lambda note: told.append(total)

        def update(self, done: int) -> None:
            told.append(done)

    def samples(request, indices, tally):
        for index in indices:
            yield Sample(id=sample_id(index), seed=0, string="", status="parse", reason="parse", crystal=None)

    monkeypatch.setattr("crystalfw.core.sample.writing.Progress", Recorder)
    sample_to_table(SimpleNamespace(samples=samples), Request(settings=SampleSection(n=100)), tmp_path / "samples.csv")
    assert told == [DECODE_BLOCK] * DECODE_BLOCK + [100] * (100 - DECODE_BLOCK) + [100]


@pytest.mark.parametrize(
    ("settings", "n", "expected"),
    [
        ({}, 7, 7),
        ({"n": 100}, None, 100),
        ({"candidates": 40, "keep": 20}, 41, 3),
        ({"candidates": 40}, None, None),
    ],
)
def test_conditions_that_a_request_needs(settings, n, expected):
    assert needed_conditions(SampleSection(**settings), n) == expected


def test_a_signal_ends_sampling_at_once_and_the_same_command_goes_on(tmp_path):
    """In the middle of a block: the rows before it stay, none is made twice."""
    request = Request(settings=SampleSection(n=100))
    path, made = tmp_path / "samples.csv", []

    def samples(request, indices, tally):
        for index in indices:
            if len(made) == 3:
                made.append(-1)
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)  # a block's decoding, which nobody should wait for
            made.append(index)
            yield Sample(id=sample_id(index), seed=0, string="", status="parse", reason="parse", crystal=None)

    began = time.monotonic()
    with pytest.raises(Interrupted, match="SIGTERM after 3 samples") as stop:
        sample_to_table(SimpleNamespace(samples=samples), request, path)
    assert time.monotonic() - began < 30
    assert stop.value.signal == "SIGTERM"
    assert [row["id"] for row in read_rows(path)] == [sample_id(index) for index in range(3)]
    assert sample_to_table(SimpleNamespace(samples=samples), request, path, resume=True) == 100
    assert [row["id"] for row in read_rows(path)] == [sample_id(index) for index in range(100)]
