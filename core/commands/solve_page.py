"""report.html of the command solve: an overview, then for each pattern the curves, the best crystal and the candidates.

The curves are in FOLDER/fits as well, as a table and with the verdict and the angles of the lines beside it.

Each pattern's part is kept in FOLDER/.parts until the end, so that a command that continues still writes the whole page.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray
from crystalfw.core.crystal_forms import SYMPREC, spglib_call
from crystalfw.core.drawing.card import drawable, formula_words, lattice_lines
from crystalfw.core.drawing.elements import gradients
from crystalfw.core.evaluate.report.gallery import HOW_TO, cif_link, crystal_card
from crystalfw.core.evaluate.report.html import Markup, card, page, section, table, tag
from crystalfw.core.powder.picture import Curve, Marks, pattern_picture
from crystalfw.core.powder.verdict import unexplained
from crystalfw.core.powder.writing import write_columns
from crystalfw.core.system.wording import counted

if TYPE_CHECKING:
    from crystalfw.core.powder.search import Answer, Solution
    from crystalfw.core.powder.solving import Solved

SHOWN, LINKED = 10, 8
"""Candidates in a table; patterns in the navigation."""
MARKS = {"solved": "good", "nothing fits": "bad", "no pattern": "bad", "unreadable": "bad"}
"""Verdict -> its colour; the others have none."""
EXPLANATION = (
    "Intensities are net of background, the strongest peak is 1. Probability compares the candidates with each other and does "
    "not know of structures that were not proposed. Rwp counts no background and is larger than that of a Rietveld "
    "refinement. Coordinates are those of the structure type; only the cell was fitted."
)


class Page:
    """Parts, one for each pattern, and the page of all."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._parts = folder, folder / ".parts"
        self._parts.mkdir(parents=True, exist_ok=True)

    def add(self, number: int, id: str, asked: str, solved: Solved) -> None:
        """Draw one pattern."""
        best = best_of(solved.solution)
        self._save(number, str(solved_section(number, id, asked, solved, best)), _summary(id, asked, solved))
        write_fit(self._folder / "fits" / f"{number:06d}.csv", id, solved, best)

    def add_unreadable(self, number: int, id: str, asked: str, reason: str) -> None:
        """Say why a pattern could not be read."""
        part = section(f"p{number}", f"{id}: {asked}", tag("p", _mark("unreadable"), f". {reason}"))
        self._save(number, str(part), {"id": id, "asked": asked, "word": "unreadable", "numbers": []})

    def _save(self, number: int, part: str, summary: dict[str, Any]) -> None:
        (self._parts / f"{number:06d}.html").write_text(part, encoding="utf-8")
        (self._parts / f"{number:06d}.json").write_text(json.dumps(summary), encoding="utf-8")

    def write(self) -> None:
        """FOLDER/report.html from all parts."""
        places = sorted(place for place in self._parts.glob("*.html") if place.with_suffix(".json").exists())
        summaries = [json.loads(place.with_suffix(".json").read_text(encoding="utf-8")) for place in places]
        parts = [Markup(place.read_text(encoding="utf-8")) for place in places]
        balls = gradients({number for one in summaries for number in one["numbers"]})
        overview = [] if len(parts) < 2 else [_overview(places, summaries)]
        notes = section("words", "How to read this", tag("p", EXPLANATION), tag("p", HOW_TO))
        links = [*([("overview", "Overview")] if overview else []), *_links(places, summaries), ("words", "How to read this")]
        text = page("Powder patterns solved", counted(len(parts), "pattern"), [*overview, balls, *parts, notes], links=links)
        (self._folder / "report.html").write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Best:
    """The best candidate of a pattern, for the page and for the table of its fit."""

    answer: Answer
    lines: FloatArray
    """(L,) angles of its lines as they stand in the measurement, degrees."""
    left: FloatArray
    """(U,) angles of the peaks that it does not explain, degrees."""


def best_of(solution: Solution) -> Best | None:
    """The first answer of a solution; None where nothing was found."""
    if not solution.answers:
        return None
    answer = solution.answers[0]
    return Best(answer, line_angles(solution, answer), unexplained(solution.target, answer))


def write_fit(path: Path, id: str, solved: Solved, best: Best | None) -> None:
    """The curves of the best candidate (two theta in degrees; measured without background, computed, difference; all on the
    scale of the highest measured point), and beside them .json: verdict, lines, peaks that are not explained."""
    target = solved.solution.target
    computed = best.answer.fit.curve if best is not None else np.zeros_like(target.net)
    columns = {"two_theta": target.grid, "measured": target.net, "computed": computed, "difference": target.net - computed}
    about = {
        "id": id, "verdict": solved.verdict.word, "sentences": list(solved.verdict.sentences),
        "formula": best.answer.fit.crystal.formula if best is not None else "",
        "lines": best.lines.round(4).tolist() if best is not None else [],
        "unexplained": best.left.round(3).tolist() if best is not None else [],
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_columns(path, {name: [f"{x:.5g}" for x in values] for name, values in columns.items()})
    path.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")


def _links(places: list[Path], summaries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Of the patterns, where they fit into one line."""
    return [(f"p{int(place.stem)}", one["id"]) for place, one in zip(places, summaries, strict=True)][:LINKED]


def _mark(word: str) -> Markup:
    return tag("b", word, class_=f"mark {MARKS.get(word, '')}".strip())


def _summary(id: str, asked: str, solved: Solved) -> dict[str, Any]:
    """The row of the overview, and the elements that the part draws."""
    row: dict[str, Any] = {"id": id, "asked": asked, "word": solved.verdict.word, "numbers": []}
    if solved.solution.answers:
        best = solved.solution.answers[0]
        row |= {
            "formula": best.fit.crystal.formula, "group": str(best.proposal.group), "rwp": f"{best.fit.rwp:.3f}",
            "explained": f"{100 * best.explained:.0f} %", "numbers": sorted(set(best.fit.crystal.numbers.tolist())),
        }  # fmt: skip
    return row


def _overview(places: list[Path], summaries: list[dict[str, Any]]) -> Markup:
    header = ("pattern", "asked", "verdict", "best", "space group", "Rwp", "explained")
    body = [
        (
            tag("a", one["id"], href=f"#p{int(place.stem)}"), one["asked"], _mark(one["word"]),
            formula_words(one.get("formula", "")), one.get("group", ""), one.get("rwp", ""), one.get("explained", ""),
        )
        for place, one in zip(places, summaries, strict=True)
    ]  # fmt: skip
    return section("overview", "Overview", table(header, body))


def solved_section(number: int, id: str, asked: str, solved: Solved, best: Best | None) -> Markup:
    """One pattern: verdict, curves, the best crystal, candidates, what is not explained."""
    content = [tag("p", _mark(solved.verdict.word), f". {' '.join(solved.verdict.sentences)}")]
    content += [tag("p", note, class_="note") for note in solved.solution.target.pattern.notes]
    curves = tag("div", fit_picture(solved.solution, best, id), class_="scroll")
    content.append(tag("figure", curves))
    if best is not None:
        angles = ", ".join(f"{angle:.2f}°" for angle in best.left) or "none"
        rest = f"Peaks that the best candidate does not explain: {angles}."
        others = card("Candidates", _candidates(solved.solution.answers), note=rest)
        content.append(tag("div", *_crystal(best.answer, id), others, class_="answers"))
    return section(f"p{number}", f"{id}: {asked}", *content)


def _crystal(best: Answer, id: str) -> list[Markup]:
    """The best crystal as a picture that can be turned; nothing where it is too large to draw."""
    crystal = best.fit.crystal
    if not drawable(crystal):
        return []
    cell = tag("p", f"conventional cell: {', '.join(lattice_lines(conventional(crystal)))}")
    return [crystal_card(crystal, f"best candidate for {id}", cell, tag("p", cif_link(f"{id}-1", crystal.cif())))]


def conventional(crystal: Crystal) -> Crystal:
    """The crystal in its conventional standard cell; as it is where spglib finds no symmetry."""
    found = spglib_call("standardize_cell", crystal, to_primitive=False, symprec=SYMPREC)
    if found is None:
        return crystal
    lattice, frac_coords, numbers = (np.asarray(part) for part in found)
    return Crystal(lattice=lattice, frac_coords=frac_coords, numbers=numbers.astype(np.int64), id=crystal.id)


def fit_picture(solution: Solution, best: Best | None, title: str) -> Markup:
    """Measured net curve; computed curve, difference, ticks of the lines of one answer and of what it does not explain."""
    target = solution.target
    curves = [Curve("measured, background removed", target.grid, target.net)]
    marks = []
    if best is not None:
        curve = best.answer.fit.curve
        curves.append(Curve("computed", target.grid, curve, "computed"))
        curves.append(Curve("difference", target.grid, target.net - curve - 0.25, "difference"))
        marks = [Marks("lines", best.lines)]
        if len(best.left):
            marks.append(Marks("not explained", best.left, "measured"))
    return Markup(pattern_picture(curves, marks, title=title))


def line_angles(solution: Solution, answer: Answer) -> np.ndarray:
    """Angles of the computed lines as they stand in the measurement (with its zero shift), degrees."""
    from crystalfw.core.powder.lines import powder_lines

    target = solution.target
    zero = float(answer.fit.parameters[answer.free])
    limits = (max(0.0, float(target.grid[0]) - zero), float(target.grid[-1]) - zero)
    lines = powder_lines(answer.fit.crystal, float(target.wavelengths[0]), limits, least=0.2)
    return lines.two_theta + zero


def _candidates(answers: list[Answer]) -> Markup:
    header = ("rank", "formula", "space group", "probability", "Rwp", "explained", "zero shift", "origin")
    body = []
    for rank, answer in enumerate(answers[:SHOWN], start=1):
        zero = answer.fit.parameters[answer.free]
        body.append((
            rank, formula_words(answer.fit.crystal.formula), str(answer.proposal.group), f"{100 * answer.probability:.1f} %",
            f"{answer.fit.rwp:.3f}", f"{100 * answer.explained:.0f} %", f"{zero:.3f}°", answer.proposal.source,
        ))  # fmt: skip
    return table(header, body)
