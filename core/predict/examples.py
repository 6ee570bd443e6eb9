"""Questions whose answers a library knows: what a ranker learns from. Their own formula is left out of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import Reject
from crystalfw.core.geometry.matcher import matcher
from crystalfw.core.interfaces import Judged, Proposal, Question
from crystalfw.core.library.distances import arrangement
from crystalfw.core.library.entry import describe
from crystalfw.core.library.store import Library
from crystalfw.core.predict.pool import fingerprint
from crystalfw.core.predict.predictor import LEAST_POOL, Predictor
from crystalfw.core.records import Rejected

QUESTIONS = 1_000
"""Entries that are asked for."""
FEWEST = 1_000
"""Entries that a library must hold: fewer have too few types in common to learn from."""
SURE, NEVER = 0.12, 0.45
"""Differences of distances (library/distances.py) below which an answer counts as right, and above which as wrong; in between
the loose matcher decides. Of 4,061 candidates for val questions, 97 % of those below match, and 6 % of those above."""
LIKELY = 8
"""Candidates of a question, the likeliest, that the matcher decides also where they differ by more."""


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
        if pool:
            yield Judged(question, pool, _right(predictor.library[row].crystal(), wanted, question, pool))


def judged_crystals(
    predictor: Predictor, crystals: Iterable[Crystal | Rejected], *, say: Callable[[str], None]
) -> list[Judged]:
    """The pool for composition and number of atoms of crystals, of those whose formula the library lacks, at most QUESTIONS.

    The likeliest candidates are judged by the matcher, all of them where they differ little.
    """
    formulas, known, unusable = _formulas(predictor.library), 0, 0
    found: list[Judged] = []
    for crystal in crystals:
        if len(found) == QUESTIONS:
            break
        try:
            entry = describe(crystal) if isinstance(crystal, Crystal) else None
        except Reject:
            entry = None
        if entry is None:
            unusable += 1
        elif (entry.elements, entry.counts) in formulas:
            known += 1
        else:
            question = Question(entry.elements, entry.counts, (entry.units,))
            pool = predictor.pool(question, LEAST_POOL // 2)
            wanted = arrangement(entry.lattice, entry.frac_coords, entry.numbers, entry.elements)
            found.append(Judged(question, pool, _right(entry.crystal(), wanted, question, pool)))
    say(f"ranker: {len(found):,} crystals to calibrate on; left out: {known:,} of known formulas, {unusable:,} not usable")
    return found


def _formulas(library: Library) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    return {library.slots(row) for row in range(len(library))}


def _right(truth: Crystal, wanted: NDArray[np.float32], question: Question, pool: Sequence[Proposal]) -> list[bool]:
    """Which proposals are the crystal, whose distances are `wanted`."""
    structure, right = truth.structure, []
    for place, proposal in enumerate(pool):
        shape = fingerprint(proposal, question) if proposal.shape is None else proposal.shape
        difference = np.abs(shape - wanted).max()
        same = difference < SURE
        if difference >= SURE and (difference < NEVER or place < LIKELY):
            same = matcher("loose", primitive=False).get_rms_dist(structure, proposal.crystal.structure) is not None
        right.append(bool(same))
    return right


def question_of_entry(library: Library, row: int, *, with_units: bool) -> tuple[Question, NDArray[np.float32]]:
    """The question that an entry answers, its own formula left out, and the entry's distances."""
    entry = library[row]
    units = (entry.units,) if with_units else ()
    question = Question(entry.elements, entry.counts, units, exclude_own=True)
    return question, arrangement(entry.lattice, entry.frac_coords, entry.numbers, entry.elements)
