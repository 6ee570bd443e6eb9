"""A grid of recipes and seeds, run as ordinary runs and compared with statistics.

  crystalfw ablate GRID.yaml                      run what is missing, compare, report
  crystalfw ablate GRID.yaml data.path=data/perov_5       with recipe values laid over the grid's `set`
  crystalfw ablate GRID.yaml --cores 8 --threads 2        four runs at a time, two threads each
  crystalfw ablate GRID.yaml --report-only        compare what is there
  crystalfw ablate GRID.yaml --list               the models, their overrides and parameters; nothing is run

The same command continues after an interruption; finished runs are not repeated. The format of GRID.yaml stands at the top of
crystalfw.core.run.ablation.grid, examples in recipes/ablations; those are also found by name (crystalfw ablate demo).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from crystalfw.core.commands.parser import add_out, add_overrides
from crystalfw.core.errors import CrystalfwError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw ablate`."""
    parser.add_argument("grid", nargs="?", metavar="GRID", help="grid file, or the name of an installed grid")
    add_overrides(parser, "values laid over the recipe of every model; c is YAML")
    add_out(parser, "FOLDER", "where runs and results go (default runs/GRID)")
    parser.add_argument("--cores", type=int, default=0, help="CPU cores for all runs together; 0 takes all")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each run")
    parser.add_argument("--devices", default="", help="GPUs, e.g. 0,1: one run at a time on each")
    parser.add_argument(
        "--baseline", action="append", default=[], metavar="AXIS=VALUE", help="compare the others with this model instead"
    )
    parser.add_argument("--report-only", action="store_true", help="run nothing; compare and report what is finished")
    parser.add_argument("--list", action="store_true", dest="show", help="print the models and stop")


def run(args: argparse.Namespace) -> int:
    """Run the ablation and print the verdicts; 1 where a run failed."""
    if args.grid is None:
        from crystalfw.core.recipe.installed import installed_grids

        raise CrystalfwError(f"which grid? Give a file, or one of: {', '.join(installed_grids())}")
    from crystalfw.core.data.executor import worker_count
    from crystalfw.core.run.ablation import load_grid, run_ablation

    if args.threads < 1:
        raise CrystalfwError(f"--threads must be 1 or more; got {args.threads}")
    if args.show:
        return _list(args.grid, args.overrides, args.baseline)
    out = Path(args.out) if args.out else Path("runs") / load_grid(args.grid).name
    devices = [device for device in args.devices.split(",") if device.strip()]
    study = run_ablation(
        args.grid,
        out,
        cores=worker_count(args.cores),
        threads=args.threads,
        devices=devices,
        overrides=args.overrides,
        baseline=args.baseline,
        run=not args.report_only,
        say=lambda message: print(message, flush=True),
    )
    for line in (*study.warnings, *study.verdicts):
        print(line)
    for job, log in study.failures:
        last = log.splitlines()[-1] if log else ""
        print(f"FAILED: {study.cells[job.cell].name}, seed {job.seed}: {last} ({job.folder / 'log.txt'})")
    print(f"{out / 'ablation.csv'}\n{out / 'report.html'}")
    return 1 if study.failures else 0


def _list(path: str, overrides: Sequence[str], baseline: Sequence[str]) -> int:
    from crystalfw.core.run.ablation.grid import load_grid
    from crystalfw.core.run.ablation.parameters import count_parameters, equalise
    from crystalfw.core.system.wording import counted

    grid = load_grid(path, overrides, baseline)
    cells = grid.cells if grid.equal_parameters is None else equalise(grid.base, grid.cells, grid.equal_parameters)
    print(f"{counted(len(cells), 'model')} x {counted(len(grid.seeds), 'seed')} from {grid.base}")
    for index, cell in enumerate(cells):
        mark = "  (baseline)" if index == grid.baseline else ""
        print(f"{cell.name}: {count_parameters(grid.base, cell.overrides()):,} parameters{mark}")
        print(f"  {' '.join(cell.overrides())}")
    return 0
