"""Progress while samples are written, and how many conditions are read for them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from crystalfw.core.recipe.schema import SampleSection
from crystalfw.core.records import Sample
from crystalfw.core.sample.request import DECODE_BLOCK, Request, needed_conditions
from crystalfw.core.sample.table import sample_id
from crystalfw.core.sample.writing import sample_to_table


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
