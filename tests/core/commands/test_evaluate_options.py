"""A torn value of an option of `crystalfw evaluate` is refused with a sentence."""

import pytest

from crystalfw.core.commands.evaluate import parse_metrics
from crystalfw.core.errors import CrystalfwError


def test_an_open_bracket_is_named():
    with pytest.raises(CrystalfwError, match=r"--metrics match:n=\[1,20: "):
        parse_metrics("match:n=[1,20")
