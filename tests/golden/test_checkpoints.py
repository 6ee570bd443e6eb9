"""A checkpoint of every format ever written is read, and gives the strings that it gave when it was made.

Strings are compared exactly: a draw compares one number with cumulated probabilities, so that a difference in the last
digits of float32 changes a token about once in a million.
"""

from __future__ import annotations

import json

import pytest
import torch

from crystalfw.core.model import checkpoint
from tests.golden.make_checkpoint import HERE, STRINGS, strings

FORMATS = json.loads(STRINGS.read_text())


def test_every_format_has_its_checkpoint():
    assert sorted(FORMATS, key=int) == [str(n + 1) for n in range(checkpoint.FORMAT)]
    assert {file.name for file in HERE.glob("*.pt")} == {f"checkpoint_{n}.pt" for n in FORMATS}
    for number in FORMATS:
        header = (HERE / f"checkpoint_{number}.pt").read_bytes().partition(b"\n")[0]
        assert header.split()[1] == number.encode(), "a golden checkpoint was written again"


@pytest.mark.parametrize("number", FORMATS)
def test_the_strings_are_those_of_its_day(number):
    threads = torch.get_num_threads()
    try:
        assert strings(HERE / f"checkpoint_{number}.pt") == FORMATS[number]
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("number", FORMATS)
def test_each_holds_what_the_present_format_holds(number):
    payload = checkpoint.load(HERE / f"checkpoint_{number}.pt")
    assert set(payload) == {"recipe", "name", "provenance", "components", "model", "optimizer", "state"}
    assert payload["components"]["model.encoder"] == {"name": "equivariant", "version": "1"}
    assert set(payload["components"]) == {
        "data.source", "representation", "transforms.0", "transforms.1", "finalize.0",
        "model.encoder", "model.conditioning", "model.decoder",
    }  # fmt: skip
    assert [len(step) for step in payload["state"]["pending"]] == [6, 6, 6]
