"""Questions whose answers a library knows: what a ranker learns from. Their own formula is left out of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from crystalfw.core.interfaces import Judged, Question
from crystalfw.core.library.distances import minimum_distances
from crystalfw.core.library.store import Library
from crystalfw.core.predict.pool import fingerprint
from crystalfw.core.predict.predictor import LEAST_POOL, Predictor

QUESTIONS = 1_000
"""Entries that are asked for."""
FEWEST = 1_000
"""Entries that a library must hold: fewer have too few types in common to learn from."""
RIGHT = 0.18
"""Largest difference of average minimum distances for a right answer, set by hand: of 806 pairs of candidate and truth below it
that pymatgen's matcher compared, 57 % match loosely (91 % below 0.03), of 621 from here to 0.25, 20 %."""


def judged_questions(predictor: Predictor, *, seed: int, say: Callable[[str], None]) -> list[Judged]:
    """The pool for entries drawn at random; every other question names the formula units of the cell."""
    if len(predictor.library) < FEWEST:
        say(f"ranker: {len(predictor.library):,} entries are too few to learn from; the probabilities are not calibrated")
        return []
    drawn = np.random.default_rng(seed).permutation(len(predictor.library))[:QUESTIONS]
    found = list(_judged(predictor, drawn.tolist()))
    share = np.mean([any(one.right) for one in found]) if found else 0.0
    say(f"ranker: {len(found):,} questions with candidates, {100 * share:.0f} % of them with the right one")
    return found


def _judged(predictor: Predictor, rows: list[int]) -> Iterator[Judged]:
    for number, row in enumerate(rows):
        question, wanted = question_of_entry(predictor.library, row, with_units=number % 2 == 0)
        pool = predictor.pool(question, LEAST_POOL // 2)
        right = [bool(np.abs(fingerprint(proposal, question) - wanted).max() < RIGHT) for proposal in pool]
        if pool:
            yield Judged(question, pool, right)


def question_of_entry(library: Library, row: int, *, with_units: bool) -> tuple[Question, np.ndarray]:
    """The question that an entry answers, its own formula left out, and the entry's average minimum distances."""
    entry = library[row]
    units = (entry.units,) if with_units else ()
    question = Question(entry.elements, entry.counts, units, exclude_own=True)
    return question, minimum_distances(entry.lattice, entry.frac_coords, entry.numbers, entry.elements)
