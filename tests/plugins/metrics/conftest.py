"""What a metric is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from crystalfw.core.evaluate.workbench import Workbench


@pytest.fixture
def context() -> Iterator[dict[str, Any]]:
    with Workbench(quiet=True) as bench:
        yield {"bench": bench, "train": [], "key": None, "run_dir": None}
