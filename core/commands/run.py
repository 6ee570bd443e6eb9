"""Train, sample, evaluate and report, as a recipe says.

  crystalfw run recipes/xattn.yaml                          a recipe file
  crystalfw run xattn                                       a recipe that came with crystalfw
  crystalfw run xattn data.path=my_crystals.csv fit.steps=5000 model.encoder=composition
  crystalfw run xattn --dry-run                             check everything, take one step, write nothing
  crystalfw run --resume runs/xattn                         continue an interrupted run
  crystalfw run --resume runs/xattn fabric.devices=4        ... with another number of processes
  crystalfw run --resume runs/xattn --checkpoint previous   ... from the checkpoint before the last

Under SLURM or torchrun the same command runs on several devices: fabric.devices=2 fabric.num_nodes=4.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from crystalfw.core.commands.parser import add_checkpoint, add_out, add_recipe
from crystalfw.core.errors import CheckpointError, CrystalfwError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw run`."""
    add_recipe(parser, nargs="?")
    parser.add_argument("--dry-run", action="store_true", help="assemble, print shapes and sizes, take one step, write nothing")
    parser.add_argument("--resume", metavar="RUN", help="continue the run in this folder, with its own recipe")
    add_checkpoint(parser, "last", "with --resume: which checkpoint to continue from")
    add_out(parser, "FOLDER", "make the run folder in FOLDER; short for run_dir=FOLDER", old=["--run-dir"])
    parser.add_argument(
        "--print", action="store_true", dest="show", help="print the recipe with every key written out and stop"
    )


def run(args: argparse.Namespace) -> int:
    """Run or resume; raises RecipeError with every mistake of the recipe."""
    if args.resume is not None:
        return _resume(args)
    if args.checkpoint != "last":
        raise CrystalfwError(f"--checkpoint {args.checkpoint} needs --resume")
    if args.recipe is None:
        from crystalfw.core.recipe.installed import installed_recipes

        raise CrystalfwError(f"which recipe? Give a file, or one of: {', '.join(installed_recipes())}")
    from crystalfw.core.recipe import expand, load_recipe

    overrides = [*args.overrides, *([f"run_dir={json.dumps(args.out)}"] if args.out else [])]
    recipe = load_recipe(args.recipe, overrides)
    if args.show:
        print(expand(recipe), end="")
        return 0
    from crystalfw.core.run.run import run_recipe

    run_recipe(recipe, dry_run=args.dry_run)
    return 0


def _resume(args: argparse.Namespace) -> int:
    run_dir = Path(args.resume)
    if not run_dir.is_dir():
        raise CheckpointError(f"{run_dir}: no such run folder")
    if args.dry_run or args.out:
        raise CrystalfwError("--resume continues in the run folder as it is; leave out --dry-run and --out")
    from crystalfw.core.run.run import resume_run

    overrides = [args.recipe, *args.overrides] if args.recipe else []
    resume_run(run_dir, checkpoint=args.checkpoint, overrides=overrides)
    return 0
