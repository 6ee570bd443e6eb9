"""report.html of the command solve: for each pattern the measured, computed and difference curve, and its candidates.

The curves are in FOLDER/fits as well, as a table and with the verdict and the angles of the lines beside it.

Each pattern's part is kept in FOLDER/.parts until the end, so that a command that continues still writes the whole page.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crystalfw.core.evaluate.report.html import Markup, page, section, table, tag
from crystalfw.core.powder.picture import Curve, Marks, pattern_picture
from crystalfw.core.powder.solving import cell_text
from crystalfw.core.powder.verdict import unexplained
from crystalfw.core.powder.writing import write_columns

if TYPE_CHECKING:
    from crystalfw.core.powder.search import Answer, Solution
    from crystalfw.core.powder.solving import Solved

SHOWN = 10


class Page:
    """Parts, one for each pattern, and the page of all."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._parts = folder, folder / ".parts"
        self._parts.mkdir(parents=True, exist_ok=True)

    def add(self, number: int, id: str, asked: str, solved: Solved) -> None:
        """Draw one pattern."""
        (self._parts / f"{number:06d}.html").write_text(solved_section(number, id, asked, solved), encoding="utf-8")
        write_fit(self._folder / "fits" / f"{number:06d}.csv", id, solved)

    def write(self) -> None:
        """FOLDER/report.html from all parts."""
        parts = [Markup(path.read_text(encoding="utf-8")) for path in sorted(self._parts.glob("*.html"))]
        text = page("Powder patterns solved", f"{len(parts)} patterns", parts)
        (self._folder / "report.html").write_text(text, encoding="utf-8")


def write_fit(path: Path, id: str, solved: Solved) -> None:
    """The curves of the best candidate (two theta in degrees; measured without background, computed, difference; all on the
    scale of the highest measured point), and beside them .json: verdict, lines, peaks that are not explained."""
    answers, target = solved.solution.answers, solved.solution.target
    best = answers[0] if answers else None
    computed = best.fit.curve if best is not None else np.zeros_like(target.net)
    columns = {"two_theta": target.grid, "measured": target.net, "computed": computed, "difference": target.net - computed}
    about = {
        "id": id, "verdict": solved.verdict.word, "sentences": list(solved.verdict.sentences),
        "formula": best.fit.crystal.formula if best is not None else "",
        "lines": line_angles(solved.solution, best).round(4).tolist() if best is not None else [],
        "unexplained": unexplained(target, best).round(3).tolist() if best is not None else [],
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_columns(path, {name: [f"{x:.5g}" for x in values] for name, values in columns.items()})
    path.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")


def solved_section(number: int, id: str, asked: str, solved: Solved) -> Markup:
    """One pattern: verdict, picture, candidates, what is not explained."""
    answers, target = solved.solution.answers, solved.solution.target
    content = [fit_picture(solved.solution, answers[0] if answers else None, id)]
    if answers:
        left = unexplained(target, answers[0])
        angles = ", ".join(f"{angle:.2f}" for angle in left) or "none"
        content += [_candidates(answers), tag("p", f"Peaks that the best candidate does not explain, degrees: {angles}.")]
        content.append(tag("p", f"Cell of the best (primitive; angstrom, degrees): {cell_text(answers[0])}."))
    lead = f"{solved.verdict.word}. {' '.join(solved.verdict.sentences)}"
    return section(f"p{number}", f"{id}: {asked}", *content, lead=lead)


def fit_picture(solution: Solution, answer: Answer | None, title: str) -> Markup:
    """Measured net curve; computed curve, difference and ticks of the lines of one answer."""
    target = solution.target
    curves = [Curve("measured, background removed", target.grid, target.net)]
    marks = []
    if answer is not None:
        curves.append(Curve("computed", target.grid, answer.fit.curve, "computed"))
        curves.append(Curve("difference", target.grid, target.net - answer.fit.curve - 0.25, "difference"))
        marks = [Marks("lines", line_angles(solution, answer))]
    return Markup(pattern_picture(curves, marks, title=title))


def line_angles(solution: Solution, answer: Answer) -> np.ndarray:
    """Angles of the computed lines in the range of the pattern, degrees."""
    from crystalfw.core.powder.lines import powder_lines

    target = solution.target
    limits = (float(target.grid[0]), float(target.grid[-1]))
    lines = powder_lines(answer.fit.crystal, float(target.wavelengths[0]), limits, least=0.2)
    return lines.two_theta


def _candidates(answers: list[Answer]) -> Markup:
    header = ("rank", "formula", "space group", "probability", "Rwp", "explained", "zero shift", "origin")
    body = []
    for rank, answer in enumerate(answers[:SHOWN], start=1):
        zero = answer.fit.parameters[answer.free]
        body.append((
            rank, answer.fit.crystal.formula, str(answer.proposal.group), f"{100 * answer.probability:.1f} %",
            f"{answer.fit.rwp:.3f}", f"{100 * answer.explained:.0f} %", f"{zero:.3f}", answer.proposal.source,
        ))  # fmt: skip
    return table(header, body)
