"""The folders of crystalfw-models from finished runs, as `crystalfw export` writes them; what is not named stays as it is.

mp-unconditional is mp-property that is asked nothing but a space group, which is drawn.

    python benchmarks/model_release.py models --generator runs/mp-property --predictor mp.predictor \
      --energies runs/mp-energies runs/mp-formation-energy --tables TABLES

Cards are models/cards/NAME.yaml. A model that is there already is replaced.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from crystalfw.core.data.reading import as_crystals
from crystalfw.core.model.checkpoint import find
from crystalfw.core.packaged import Card, located
from crystalfw.core.run.export import export_ensemble, export_model, export_predictor, read_stated


def main() -> None:
    """Write the models into the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--generator", help="run of mp-property")
    parser.add_argument("--predictor", type=Path, help="what `crystalfw library fit` wrote")
    parser.add_argument("--energies", nargs="+", default=[], help="runs whose average is mp-energies")
    parser.add_argument("--tables", type=Path, help="what model_tables.py wrote: val calibrates, test says the errors")
    args = parser.parse_args()
    (place,) = (file.parent for file in args.package.glob("src/*/__init__.py"))

    def write(name: str) -> Card:
        """Export into a scratch folder first: a run may be the model that is replaced."""
        stated = read_stated(args.package / "cards" / f"{name}.yaml")
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / name
            if name == "mp-predict":
                card = export_predictor(args.predictor, folder, name=name, stated=stated)
            elif name == "mp-energies":
                runs = [find(located(run), "best") for run in args.energies]
                val, test = (list(as_crystals(args.tables / "energies" / f"{part}.csv.gz")) for part in ("val", "test"))
                card = export_ensemble(
                    runs, folder, name=name, stated=stated, validation=val, test=test, say=print, half=True
                )  # fmt: skip
            else:
                card = export_model(located(args.generator), folder, name=name, stated=stated, half=True)
            shutil.rmtree(place / name, ignore_errors=True)
            shutil.copytree(folder, place / name)
        return card

    wanted = {
        "mp-energies": args.energies, "mp-predict": args.predictor,
        "mp-property": args.generator, "mp-unconditional": args.generator,
    }  # fmt: skip
    for name in (name for name, given in wanted.items() if given):
        card = write(name)
        size = sum(file.stat().st_size for file in (place / name).rglob("*") if file.is_file())
        print(f"{name}: {card.parameters:,} parameters, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
