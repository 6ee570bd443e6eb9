"""What a metric is given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.interfaces import MetricContext


@pytest.fixture
def context() -> Iterator[MetricContext]:
    with Workbench(quiet=True) as bench:
        yield MetricContext(bench=bench)
