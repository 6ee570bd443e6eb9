"""`crystalfw.predict` and `crystalfw.solve`: the questions of the two commands, asked and answered in Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crystalfw.core.errors import ConditionError
from crystalfw.core.powder.reading import read_pattern
from crystalfw.core.powder.solving import Solved, Solver
from crystalfw.core.predict.fitted import open_predictor
from crystalfw.core.predict.question import question_of, read_questions
from crystalfw.core.records import Proposal


def predict(
    compositions: Sequence[str], n: int, *, atoms: int | None = None, library: str | Path | None = None
) -> list[list[Proposal]]:
    """For each composition at most n crystals, the likeliest first; a .csv among them stands for its column `composition`.

    Raises ConditionError with every composition that cannot be asked for.
    """
    if n < 1:
        raise ConditionError(f"n = {n}: at least one candidate")
    questions, wrong = [], []
    for asked in read_questions(compositions, atoms=atoms):
        if asked.question is None:
            wrong.append(asked.reason)
        else:
            questions.append(asked.question)
    if wrong:
        raise ConditionError("\n".join(wrong))
    predictor = open_predictor(library)
    return [predictor.answer(question, n) for question in questions]


def solve(
    pattern: str | Path,
    formula: str | None,
    elements: str | None,
    *,
    wavelength: str | float | None = None,
    library: str | Path | None = None,
    candidates: int = 150,
) -> Solved:
    """The crystals of the formula or the elements that explain a measured pattern."""
    if bool(formula) == bool(elements):
        raise ConditionError("say what the sample holds: either formula='Na3SbS4' or elements='Fe,O,P'")
    if candidates < 1:
        raise ConditionError(f"candidates = {candidates}: at least one")
    measured = read_pattern(pattern, wavelength=wavelength)
    asked = [(question_of(formula), 1.0)] if formula else []
    predictor = open_predictor(library)
    solver = Solver(predictor.library, predictor.retriever, candidates=candidates)
    return solver.solve(measured, asked or solver.questions(elements or ""))
