"""The whole ablation: equalise, run, collect, compare, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from crystalfw.core.run.ablation.grid import load_grid
from crystalfw.core.run.ablation.jobs import make_jobs, run_jobs
from crystalfw.core.run.ablation.parameters import equalise
from crystalfw.core.run.ablation.summary import Study, summarise, write_tables


def run_ablation(
    grid_path: str | Path,
    out: str | Path,
    *,
    cores: int,
    threads: int = 1,
    devices: Sequence[str] = (),
    overrides: Sequence[str] = (),
    baseline: Sequence[str] = (),
    run: bool = True,
    say: Callable[[str], None] = print,
) -> Study:
    """Run what is missing (nothing with `run` False), write ablation.csv, summary.csv, comparisons.csv and report.html.

    Raises RecipeError for a mistake in the grid or in any cell's recipe, before anything runs.
    """
    from crystalfw.core.run.ablation.report import write_study

    grid, folder = load_grid(grid_path, overrides, baseline), Path(out)
    cells = grid.cells
    if grid.equal_parameters is not None:
        cells = tuple(equalise(grid.base, cells, grid.equal_parameters))
    jobs = make_jobs(grid.base, cells, grid.seeds, grid.minutes, folder)
    folder.mkdir(parents=True, exist_ok=True)
    if run:
        run_jobs(jobs, cores=cores, threads=threads, devices=devices, say=say)
    study = summarise(grid, cells, jobs)
    write_tables(study, folder)
    write_study(study, folder / "report.html")
    return study
