"""The fast share of `python -m tests.faults`: three kills in each stage that runs in one process, one in an ablation."""

import pytest

from .kill import Killing


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "tries"), [("prepare", 3), ("fit", 3), ("sample", 3), ("decode", 3), ("evaluate", 3), ("ablate", 1)]
)
def test_a_killed_stage_goes_on_to_the_same_bytes(warm, bench, tmp_path, stage, tries):
    killing = Killing(warm, bench, stage, tmp_path)
    assert [problem for _ in range(tries) if (problem := killing.attempt())] == []
