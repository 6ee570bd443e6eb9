"""Make the golden delivered model of the present card format, and the values that it must give for ever.

    python -m tests.golden.make_model

A format's folder is made once, by the release that introduces it, and stays as it is.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch

HERE = Path(__file__).parent / "models"
VALUES = "values.json"
OVERRIDES = [
    "data.max_crystals=64", "data.workers=1", "fabric.precision=32-true", "fabric.accelerator=cpu", "fit.steps=20",
    "fit.batch_size=16", "fit.warmup=2", "fit.validate_every=10", "fit.checkpoint_every=10",
    "model.encoder={name: equivariant, dim: 8, multiplicities: [4, 2], lmax: 1, layers: 1, cutoff: 3.5}",
    "model.decoder={name: regressor, columns: [volume_per_atom], hidden: 8, spread: true}",
]  # fmt: skip


def values(folder: Path) -> dict[str, list[float]]:
    """Value and half of the 90 % interval of four small crystals, and the first number of their vectors."""
    from crystalfw.core.sample.trained import Trained
    from crystalfw.core.testing.crystals import small_crystals

    torch.set_num_threads(1)
    trained, crystals = Trained.load(folder), small_crystals()
    (found,) = trained.predict_with_errors(crystals).values()
    columns = {"value": found[0], "half": found[1], "vector": trained.embed(crystals)[:, 0]}
    return {name: [float(number) for number in column] for name, column in columns.items()}


def main() -> None:
    """Train, export, write the values."""
    from crystalfw.core.packaged.card import FORMAT
    from crystalfw.core.recipe import load_recipe
    from crystalfw.core.run.export import export_model
    from crystalfw.core.run.run import run_recipe

    folder = HERE / str(FORMAT)
    if folder.exists():
        raise SystemExit(f"{folder} is there: a golden model is made once for each format")
    with tempfile.TemporaryDirectory() as scratch:
        run = run_recipe(load_recipe("regress", [*OVERRIDES, f"run_dir={scratch}/runs", f"data.cache={scratch}/cache"]))
        assert run is not None
        export_model(run, folder, name="golden", stated={"answers": "volume per atom"}, half=True)
    (HERE / f"{FORMAT}_{VALUES}").write_text(json.dumps(values(folder), indent=1) + "\n")


if __name__ == "__main__":
    main()
