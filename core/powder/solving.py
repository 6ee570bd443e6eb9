"""Patterns solved one by one: candidates from the library and a retriever, searched, judged, as rows of samples.csv."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import ConditionError
from crystalfw.core.interfaces import Retriever
from crystalfw.core.library.store import Library
from crystalfw.core.powder.pattern import Pattern
from crystalfw.core.powder.question import Slots, formulas, parse_elements
from crystalfw.core.powder.radiation import DOUBLETS, radiation
from crystalfw.core.powder.search import Answer, Solution, Weights, search
from crystalfw.core.powder.target import prepare
from crystalfw.core.powder.verdict import GOOD, LEAST_PEAKS, Verdict, judge
from crystalfw.core.records import Proposal, Question

COLUMNS = (
    "id", "reference_id", "rank", "rwp", "misfit", "explained", "probability", "origin", "status", "reason", "formula",
    "space_group", "cif",
)  # fmt: skip
CANDIDATES = 150
"""Structure types proposed for a formula, and for all formulas of some elements together."""
FORMULAS = 30
LIKELIEST, BETTER = 6, 0.75
"""Candidates that are tried with other wavelengths where nothing fits well; share of the misfit that must be left."""
KNOWN = 0.3
"""Least probability, before the pattern is looked at, that a known crystal of the very formula shares with its like."""

Report = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Solved:
    """A pattern with what was found."""

    solution: Solution
    verdict: Verdict

    @property
    def crystals(self) -> list[Crystal]:
        """The candidates with their fitted cells, the likeliest first."""
        return [answer.fit.crystal for answer in self.solution.answers]


class Solver:
    """A library and a retriever, ready to solve patterns; known crystals of a formula are tried first (search-match)."""

    def __init__(
        self, library: Library, retriever: Retriever, *, candidates: int = CANDIDATES, weights: Weights | None = None
    ) -> None:
        self.library, self._retriever, self._candidates = library, retriever, candidates
        self._weights = weights or Weights()
        self._rows: dict[Slots, list[int]] = {}
        for row in range(len(library)):
            self._rows.setdefault(library.slots(row), []).append(row)

    def knows(self, formula: Slots) -> bool:
        """Whether the library holds a crystal of this formula (elements, reduced counts)."""
        return formula in self._rows

    def questions(self, elements: str) -> list[tuple[Question, float]]:
        """The formulas of `Fe,O,P` with their probabilities. Raises ConditionError where the library allows none."""
        found = formulas(parse_elements(elements), self.library, FORMULAS)
        if not found:
            raise ConditionError(f"elements '{elements}': the library knows no crystal of so many elements; give --formula")
        return found

    def proposals(self, questions: Sequence[tuple[Question, float]]) -> list[Proposal]:
        """Candidates of all questions: known crystals of the formulas, then structure types; each once."""
        found: list[Proposal] = []
        each = max(8, self._candidates // len(questions))
        for question, weight in questions:
            own = self._known(question, weight)
            names = {proposal.template for proposal in own}
            typed = self._retriever.propose(question, each)
            found += own
            found += [
                replace(p, probability=p.probability * weight, source=f"structure type of {p.template}, {p.source}")
                for p in typed
                if p.template not in names
            ]
        return found

    def _known(self, question: Question, weight: float) -> list[Proposal]:
        rows = self._rows.get((question.elements, question.counts), [])
        found = []
        for row in rows:
            entry = self.library[row]
            if question.units and entry.units not in question.units:
                continue
            source = f"known crystal {entry.id}, {self.library.source(row)}"
            p = weight * max(KNOWN, 1 / len(rows))
            found.append(Proposal(entry.crystal(), p, entry.id, source, entry.group, entry.units))
        return found

    def solve(
        self, pattern: Pattern, questions: Sequence[tuple[Question, float]], report: Report = lambda done, of: None
    ) -> Solved:
        """Search the candidates of the questions, the likeliest formula first."""
        target = prepare(pattern)
        if len(target.peaks) < LEAST_PEAKS:
            empty = Solution(target, [], 0)
            return Solved(empty, judge(empty))
        proposals = self.proposals(questions)
        solution = search(target, proposals, weights=self._weights, report=report)
        verdict = judge(solution)
        if solution.answers and solution.answers[0].explained < GOOD:
            hint = other_wavelength(pattern, proposals, solution.answers[0].fit.misfit)
            verdict = replace(verdict, sentences=(*verdict.sentences, hint)) if hint else verdict
        return Solved(solution, verdict)


def other_wavelength(pattern: Pattern, proposals: Sequence[Proposal], before: float) -> str:
    """A sentence where the likeliest candidates explain a pattern with the K-alpha lines of another anode; empty otherwise.

    `before` is their misfit with the pattern's own wavelength.
    """
    likeliest = sorted(proposals, key=lambda proposal: -proposal.probability)[:LIKELIEST]
    best: tuple[str, Answer] | None = None
    for anode in DOUBLETS:
        other = radiation(f"{anode}Ka")
        if abs(other.mean / pattern.radiation.mean - 1) < 0.005:
            continue
        solution = search(prepare(replace(pattern, radiation=other)), likeliest, refined=LIKELIEST, again=0)
        for answer in solution.answers[:1]:
            bound = BETTER * before if best is None else best[1].fit.misfit
            if answer.explained >= GOOD and answer.fit.misfit < bound:
                best = other.name, answer
    if best is None:
        return ""
    name, answer = best
    what = f"{answer.fit.crystal.formula} in space group {answer.proposal.group}"
    return f"With --wavelength {name}, {what} would explain {100 * answer.explained:.0f} %: was the pattern measured with it?"


def known_with_elements(library: Library, elements: Sequence[int]) -> list[Proposal]:
    """Every known crystal of some elements or of a part of them, as equally likely candidates: search-match."""
    allowed = frozenset(elements)
    found = [row for row in range(len(library)) if allowed.issuperset(library.slots(row)[0])]
    entries = [(library[row], library.source(row)) for row in found]
    return [
        Proposal(entry.crystal(), 1 / len(entries), entry.id, f"known crystal {entry.id}, {source}", entry.group, entry.units)
        for entry, source in entries
    ]


def rows(id: str, solved: Solved, shown: int) -> list[list[str]]:
    """The rows of samples.csv of one pattern: its candidates, or one row with the reason why there is none."""
    answers = solved.solution.answers[:shown]
    if not answers:
        return [failed(id, solved.verdict.word, " ".join(solved.verdict.sentences))]
    return [_row(id, rank, answer) for rank, answer in enumerate(answers, start=1)]


def _row(id: str, rank: int, answer: Answer) -> list[str]:
    crystal = answer.fit.crystal
    return [
        f"{id}-{rank}", id, str(rank), f"{answer.fit.rwp:.4f}", f"{answer.fit.misfit:.4f}", f"{answer.explained:.4f}",
        f"{answer.probability:.4g}", answer.proposal.source, "ok", "", crystal.formula, str(answer.proposal.group),
        crystal.cif(),
    ]  # fmt: skip


def failed(id: str, status: str, reason: str) -> list[str]:
    """The one row of a pattern without candidates."""
    return [f"{id}-0", id, *[""] * 6, status, reason, "", "", ""]


def cell_text(answer: Answer) -> str:
    """a, b, c and angles of the fitted primitive cell."""
    from crystalfw.core.crystal import lattice_to_parameters

    lengths, angles = lattice_to_parameters(answer.fit.crystal.lattice)
    values = [f"{x:.4f}" for x in lengths] + [f"{x:.2f}" for x in angles]
    return f"{' '.join(values)}, {abs(np.linalg.det(answer.fit.crystal.lattice)):.2f} A^3"
