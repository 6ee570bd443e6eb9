"""Make the golden checkpoint of the present format, and the strings that it must give for ever.

    python -m tests.golden.make_checkpoint

A format's files are made once, by the release that introduces it, and stay as they are. `previous.pt` of a short run is
kept, since it was saved between two rows of the log: its state is not empty.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

HERE = Path(__file__).parent
STRINGS = HERE / "checkpoint_strings.json"
"""Format -> the strings of eight samples, in order."""
OVERRIDES = [
    "run_dir=runs", "data.cache=cache", "sample.n=2", "fabric.precision=32-true", "fabric.accelerator=cpu", "fit.steps=6",
    "fit.log_every=4", "fit.checkpoint_every=3", "fit.validate_every=6", "model.encoder.dim=8",
    "model.encoder.multiplicities=[4, 2]", "model.decoder.dim=8", "model.decoder.max_length=256",
]  # fmt: skip


def strings(checkpoint: Path) -> list[str]:
    """Eight samples for four small crystals, float32, one thread, seed 0."""
    from crystalfw.core.sample.request import Request
    from crystalfw.core.sample.trained import Trained
    from crystalfw.core.testing.crystals import small_crystals

    torch.set_num_threads(1)
    trained = Trained.load(checkpoint)
    settings = replace(trained.recipe.sample, n=8)
    conditions = tuple(trained.conditions(None, small_crystals()))
    return [sample.string for sample in trained.samples(Request(settings=settings, seed=0, conditions=conditions))]


def main() -> None:
    """Train, copy the checkpoint, write its strings."""
    import os

    from crystalfw.core.model.checkpoint import FORMAT
    from crystalfw.core.recipe import load_recipe
    from crystalfw.core.run.run import run_recipe

    target = HERE / f"checkpoint_{FORMAT}.pt"
    if target.exists():
        raise SystemExit(f"{target} is there: a golden checkpoint is made once for each format")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run = run_recipe(load_recipe("smoke", OVERRIDES))
        assert run is not None
        shutil.copyfile(run / "checkpoints" / "previous.pt", target)
    known = json.loads(STRINGS.read_text()) if STRINGS.exists() else {}
    STRINGS.write_text(json.dumps({**known, str(FORMAT): strings(target)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
