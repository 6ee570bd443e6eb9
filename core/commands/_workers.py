"""The arguments of every command that spreads its work: how many workers, and whose."""

from __future__ import annotations

import argparse


def add_worker_arguments(parser: argparse.ArgumentParser) -> None:
    """`--workers` and `--executor` (core/data/executor.py)."""
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 takes all cores")
    parser.add_argument("--executor", default="processes", help="`processes`, `dask`, `dask:ADDRESS`, or a plugin's")
