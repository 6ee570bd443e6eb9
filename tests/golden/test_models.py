"""A delivered model of every card format ever written is read, and gives the values that it gave when it was made."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crystalfw.core.packaged import read_card, verify
from crystalfw.core.packaged.card import FORMAT
from tests.golden.make_model import HERE, VALUES, values


def test_every_format_has_its_model():
    assert {folder.name for folder in HERE.iterdir() if folder.is_dir()} == {str(n + 1) for n in range(FORMAT)}


@pytest.mark.parametrize("number", [str(n + 1) for n in range(FORMAT)])
def test_its_values_are_those_of_its_release(number):
    folder = HERE / number
    assert read_card(folder).format == int(number)
    assert verify(folder).name == "golden"
    expected = json.loads((HERE / f"{number}_{VALUES}").read_text())
    found = values(folder)
    assert found.keys() == expected.keys()
    for name in expected:
        # float32 sums differ in their last digits between machines
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)
