"""The folders of crystalfw-models from finished runs, as `crystalfw export` writes them.

mp-unconditional is mp-property that is never asked anything.

    python benchmarks/model_release.py RUNS/mp-energies RUNS/mp-property mp.predictor models

Cards are models/cards/NAME.yaml. A model that is there already is replaced.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from crystalfw.core.model import checkpoint
from crystalfw.core.packaged import Card
from crystalfw.core.recipe import expand, load_recipe
from crystalfw.core.run.export import export_model, export_predictor, read_stated

UNCONDITIONAL = ("model.encoder={name: none, dim: 128}", "model.condition_dropout=0", "name=mp-unconditional")


def unconditional(run: Path, to: Path) -> Path:
    """The checkpoint of a conditional run that is never asked anything: its null condition in the place of the encoder."""
    payload = checkpoint.load(checkpoint.find(run, "best"))
    recipe = to / "recipe.yaml"
    recipe.write_text(payload["recipe"])
    payload["recipe"] = expand(load_recipe(recipe, UNCONDITIONAL))
    payload["model"] = {name: value for name, value in payload["model"].items() if not name.startswith("encoder.")}
    payload["model"]["encoder.token"] = payload["model"]["null_C"]
    payload["components"]["model.encoder"] = {"name": "none", "version": "1"}
    checkpoint.save(to / "unconditional.pt", payload)
    return to / "unconditional.pt"


def said(card: Card, folder: Path) -> str:
    """One line about a model that was written."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{card.name}: {card.parameters:,} parameters, {size / 1e6:.2f} MB"


def main(energies: Path, generator: Path, predictor: Path, package: Path) -> None:
    """Write the four models into the package."""
    (place,) = (file.parent for file in package.glob("src/*/__init__.py"))
    with tempfile.TemporaryDirectory() as scratch:
        runs = {
            "mp-energies": energies, "mp-property": generator,
            "mp-unconditional": unconditional(generator, Path(scratch)), "mp-predict": predictor,
        }  # fmt: skip
        for name, run in runs.items():
            folder, stated = place / name, read_stated(package / "cards" / f"{name}.yaml")
            shutil.rmtree(folder, ignore_errors=True)
            if name == "mp-predict":
                print(said(export_predictor(run, folder, name=name, stated=stated), folder))
            else:
                print(said(export_model(run, folder, name=name, stated=stated, half=True), folder))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
