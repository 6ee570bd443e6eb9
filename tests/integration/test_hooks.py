"""A spectator that raises in the middle of a fit: the run continues as if without it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from crystalfw.core import hookimpl
from crystalfw.core.discovery import plugins
from crystalfw.core.model import checkpoint
from crystalfw.core.recipe import load_recipe
from crystalfw.core.registry import Origin
from crystalfw.core.run.run import run_recipe

SMALL = ["fit.steps=4", "fit.checkpoint_every=1", "fit.validate_every=2", "sample.n=1", "evaluate.metrics=[]"]


class Raises:
    """Raises at the second step, and records that it is not called again."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    @hookimpl
    def step_end(self, step):
        self.seen.append(step)
        if step == 2:
            raise OSError("the dashboard is away")

    @hookimpl
    def validation_end(self, step):
        self.seen.append(-step)


def run(folder: Path) -> tuple[dict, list[dict]]:
    made = run_recipe(load_recipe("smoke", [*SMALL, f"run_dir={folder}", f"data.cache={folder}/cache"]), say=lambda text: None)
    assert made is not None
    with (made / "metrics.csv").open() as stream:
        return checkpoint.load(made / "checkpoints" / "last.pt"), list(csv.DictReader(stream))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_a_hook_that_raises_does_not_touch_the_run(tmp_path):
    alone, rows_alone = run(tmp_path / "alone")
    spectator = Raises()
    plugins().register(spectator, Origin("crystalfw-dashboard", "1.2"))
    with pytest.warns(
        RuntimeWarning, match=r"crystalfw-dashboard 1\.2: its hook step_end raised OSError: the dashboard is away"
    ):
        watched, rows = run(tmp_path / "watched")
    assert spectator.seen == [1, -2, 2]  # neither step 3 nor the validation at step 4
    assert [row["step"] for row in rows] == [row["step"] for row in rows_alone]
    for name, value in alone["model"].items():
        assert torch.equal(value, watched["model"][name]), name
