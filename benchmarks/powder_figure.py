"""The picture of docs/results/powder.md: measured patterns with the best candidate of each, one panel a pattern.

    python benchmarks/powder_figure.py DATA/powder PREDICTOR OUT.png ID,ID,...

Prints what the page says of each pattern. Intensities are drawn as square roots, as the fit sees them.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from powder import EXPLAINS, TOP, measured, own_fit, same

from crystalfw.core.powder.solving import Solver
from crystalfw.core.predict.fitted import open_predictor
from crystalfw.core.predict.question import question_of

COLUMNS = 3


def main(folder: Path, place: str, out: Path, names: list[str]) -> None:
    """Solve, draw, print."""
    warnings.simplefilter("ignore")
    predictor = open_predictor(place)
    solver = Solver(predictor.library, predictor.retriever)
    cases = {one["id"]: one for one in measured(folder, "all") if one["id"] in names}
    rows = -(-len(names) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(12, 2.5 * rows), layout="constrained", squeeze=False)
    for name, axis in zip(names, axes.ravel(), strict=False):
        one = cases[name]
        solved = solver.solve(one["pattern"](), [(question_of(one["formula"]), 1.0)])
        best, target = solved.solution.answers[0], solved.solution.target
        right = [
            rank for rank, a in enumerate(solved.solution.answers[:TOP], 1) if same(a.fit.crystal, one["crystal"].structure)
        ]
        explains = own_fit(target, one["crystal"])[1]
        mark = "" if explains >= EXPLAINS else " (!)"
        fate = "right" if right[:1] == [1] else f"right at rank {right[0]}" if right else "wrong"
        axis.plot(target.grid, target.net**0.5, lw=0.7, color="#4477aa")
        axis.plot(target.grid, best.fit.curve.clip(0) ** 0.5, lw=0.7, color="#cc3311")
        axis.plot(target.grid, target.net**0.5 - best.fit.curve.clip(0) ** 0.5 - 0.5, lw=0.5, color="#888888")
        axis.set_title(f"{name}: {fate}, explains {100 * best.explained:.0f} %", fontsize=9)
        axis.set_yticks([])
        axis.tick_params(labelsize=7)
        print(f"| {name} | {fate} | {solved.verdict.word} | {best.proposal.source} | {best.fit.rwp:.2f} | "
              f"{100 * best.explained:.0f} % | {100 * explains:.0f} %{mark} |", flush=True)  # fmt: skip
    figure.savefig(out, dpi=100)
    _smaller(out)


def _smaller(path: Path) -> None:
    """Sixteen colours are enough for three curves."""
    from PIL import Image

    Image.open(path).convert("RGB").quantize(16).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4].split(","))
