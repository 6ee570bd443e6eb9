"""The folders of crystalfw-models from finished runs, as `crystalfw export` writes them.

mp-unconditional is mp-property that is asked nothing but a space group, which is drawn.

    python benchmarks/model_release.py RUNS/mp-energies RUNS/mp-property mp.predictor models

Cards are models/cards/NAME.yaml. A model that is there already is replaced.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from crystalfw.core.model import checkpoint
from crystalfw.core.model.component_versions import to_installed_versions
from crystalfw.core.packaged import Card
from crystalfw.core.recipe import expand, load_recipe
from crystalfw.core.run.export import export_model, export_predictor, read_stated

SAMPLING = ("sample.candidates=6", "sample.keep=1", "sample.drawn=[space_group]")
"""Six strings for each crystal, of a space group that is drawn from the training crystals unless it is asked for: what has it
goes first."""


def changed(run: Path, file: Path, overrides: tuple[str, ...]) -> Path:
    """The best checkpoint of a run with values laid over its recipe, as `file`."""
    path = checkpoint.find(run, "best")
    payload = to_installed_versions(checkpoint.load(path), path)
    recipe = file.with_suffix(".yaml")
    recipe.write_text(payload["recipe"])
    checkpoint.save(file, {**payload, "recipe": expand(load_recipe(recipe, overrides))})
    return file


def said(card: Card, folder: Path) -> str:
    """One line about a model that was written."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{card.name}: {card.parameters:,} parameters, {size / 1e6:.2f} MB"


def main(energies: Path, generator: Path, predictor: Path, package: Path) -> None:
    """Write the four models into the package."""
    (place,) = (file.parent for file in package.glob("src/*/__init__.py"))
    with tempfile.TemporaryDirectory() as scratch:
        runs = {
            "mp-energies": energies, "mp-predict": predictor,
            "mp-property": changed(generator, Path(scratch) / "property.pt", SAMPLING),
            "mp-unconditional": changed(generator, Path(scratch) / "unconditional.pt", (*SAMPLING, "name=mp-unconditional")),
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
