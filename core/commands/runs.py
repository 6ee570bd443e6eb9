"""The runs in a folder: what was trained on what, how far it came, its best validation loss.

  crystalfw runs                    those in runs/
  crystalfw runs runs/demo --json   those of an ablation, for programs

`crystalfw describe RUN` says what one of them can be asked for.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from crystalfw.core.commands.parser import add_json
from crystalfw.core.errors import CrystalfwError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw runs`."""
    parser.add_argument("folder", nargs="?", default="runs", metavar="FOLDER", help="folder of run folders (default runs)")
    add_json(parser, "runs [{folder, model, data, steps, of_steps, best_validation, state}]")


def run(args: argparse.Namespace) -> int:
    """Print a line for each run. Raises CrystalfwError where there is no such folder."""
    from crystalfw.core.run.listing import list_runs

    base = Path(args.folder)
    if not base.is_dir():
        raise CrystalfwError(f"{base}: no such folder; runs are made by `crystalfw run RECIPE`")
    found = list_runs(base)
    if args.json:
        print(json.dumps({"runs": [dataclasses.asdict(item) for item in found]}, indent=2))
        return 0
    if not found:
        print(f"{base}: no runs")
        return 0
    rows = [("run", "model", "data", "steps", "validation loss", "state")]
    rows += [
        (item.folder, item.model, item.data, f"{item.steps:,} of {item.of_steps:,}",
         "-" if item.best_validation is None else f"{item.best_validation:.4f}", item.state)
        for item in found
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    return 0
