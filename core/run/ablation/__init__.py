"""Ablation: a grid of recipes and seeds, run as ordinary runs, compared with statistics.

grid -> cells and seeds -> equal parameters -> runs in parallel, cached -> tidy results -> comparisons -> report.
"""

from crystalfw.core.run.ablation.grid import Grid as Grid
from crystalfw.core.run.ablation.grid import load_grid as load_grid
from crystalfw.core.run.ablation.study import run_ablation as run_ablation
