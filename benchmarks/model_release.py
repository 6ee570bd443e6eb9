"""The folders of crystalfw-models from finished runs, as `crystalfw export` writes them.

mp-unconditional is mp-property that is asked nothing but a space group, which is drawn.

    python benchmarks/model_release.py RUNS/mp-energies RUNS/mp-property mp.predictor models

Cards are models/cards/NAME.yaml. A model that is there already is replaced.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from crystalfw.core.packaged import Card
from crystalfw.core.run.export import export_model, export_predictor, read_stated


def said(card: Card, folder: Path) -> str:
    """One line about a model that was written."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{card.name}: {card.parameters:,} parameters, {size / 1e6:.2f} MB"


def main(energies: Path, generator: Path, predictor: Path, package: Path) -> None:
    """Write the four models into the package."""
    (place,) = (file.parent for file in package.glob("src/*/__init__.py"))
    runs = {"mp-energies": energies, "mp-predict": predictor, "mp-property": generator, "mp-unconditional": generator}
    for name, run in runs.items():
        folder, stated = place / name, read_stated(package / "cards" / f"{name}.yaml")
        shutil.rmtree(folder, ignore_errors=True)
        if name == "mp-predict":
            print(said(export_predictor(run, folder, name=name, stated=stated), folder))
        else:
            print(said(export_model(run, folder, name=name, stated=stated, half=True), folder))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
