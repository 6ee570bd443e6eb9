"""One warm server and one set of things to work on for all tests of this folder."""

import pytest

from .stages import make_bench
from .warm import Warm


@pytest.fixture(scope="session")
def warm():
    with Warm() as server:
        yield server


@pytest.fixture(scope="session")
def bench(warm, tmp_path_factory):
    return make_bench(tmp_path_factory.mktemp("bench"), warm.run)
