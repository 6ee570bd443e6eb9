"""A trained run as an installable package: weights without the optimiser's state, a card, a pyproject.toml.

  crystalfw export runs/mine -o my-models                     a package with one model, called as the run
  crystalfw export runs/other -o my-models --name other       one more model into the same package
  crystalfw export runs/mine -o my-models --card card.yaml    with what people should know of it
  crystalfw export runs/a --with runs/b --validation val.csv --test test.csv -o my-models      one predictor of several
  crystalfw export mp20.predictor -o my-models                what `crystalfw library fit` wrote, for predictions
  crystalfw models check my-models && pip install ./my-models

A card's fields are those that `crystalfw models NAME` shows: answers, trained_on, headline, figures, licence, citations,
limits, leakage, recipe. Fields that the run itself tells are filled in.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from crystalfw.core.commands.parser import add_out, add_run
from crystalfw.core.errors import CrystalfwError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw export`."""
    add_run(parser)
    add_out(parser, "FOLDER", "package to write, or to add the model to", required=True)
    parser.add_argument("--name", help="the model's name (default: the run's)")
    parser.add_argument("--card", metavar="FILE.yaml", help="fields of the card")
    ensemble = "one more run: the model averages what the runs predict, by their stated errors; repeat for several"
    parser.add_argument("--with", dest="members", action="append", default=[], metavar="RUN", help=ensemble)
    parser.add_argument("--validation", metavar="FILE", help="of an ensemble: crystals with the columns, for its intervals")
    parser.add_argument("--test", metavar="FILE", help="of an ensemble: crystals with the columns, for its errors")
    parser.add_argument("--half", action="store_true", help="store weights in 16 bits")


def run(args: argparse.Namespace) -> int:
    """Write the package or add to it."""
    from crystalfw.core.commands.models import size
    from crystalfw.core.commands.new_plugin import write_model_package
    from crystalfw.core.data.reading import as_crystals
    from crystalfw.core.model.checkpoint import find
    from crystalfw.core.packaged import located
    from crystalfw.core.predict.saved import is_saved
    from crystalfw.core.run.export import export_ensemble, export_model, export_predictor, read_stated
    from crystalfw.core.sample.trained import Trained

    given, out = located(args.run), Path(args.out)
    retrieves = is_saved(given)
    if args.members and not (args.validation and args.test):
        raise CrystalfwError(
            "--with: an ensemble needs --validation FILE (its intervals) and --test FILE (its errors), tables of crystals with "
            "the columns that it predicts, none of which was trained on"
        )
    if (args.validation or args.test) and not args.members:
        raise CrystalfwError("--validation and --test belong to an ensemble: name its other runs by --with RUN")
    name = args.name or (given.stem if retrieves else Trained.load(find(given, args.checkpoint)).recipe.name)
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise CrystalfwError(f"'{name}' cannot be a model's name: lower-case letters, digits, '-', '_', '.'; give --name")
    stated = read_stated(Path(args.card)) if args.card else {}
    folder = write_model_package(out) / name
    if folder.exists():
        raise CrystalfwError(f"{folder}: there is a model already; choose another --name, or delete it")
    if args.members:
        card = export_ensemble(
            [find(located(run), args.checkpoint) for run in (args.run, *args.members)], folder, name=name, stated=stated,
            validation=list(as_crystals(args.validation)), test=list(as_crystals(args.test)), say=print, half=args.half,
        )  # fmt: skip
    elif retrieves:
        card = export_predictor(given, folder, name=name, stated=stated)
    else:
        card = export_model(find(given, args.checkpoint), folder, name=name, stated=stated, half=args.half)
    print(f"{folder}: {card.kind} '{name}', {card.parameters:,} parameters, {size(folder) / 1e6:.1f} MB")
    if missing := [key for key in ("answers", "trained_on", "headline", "licence", "leakage") if key not in stated]:
        print(f"  the card does not state {', '.join(missing)}: write them into a file, --card FILE.yaml")
    print(f"  crystalfw models check {out} && pip install {out if out.is_absolute() else f'./{out}'}")
    return 0
