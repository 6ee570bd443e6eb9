"""Retriever and generator as one list: known crystals in the retriever's order, and draws where the generator is trusted.

A candidate's score is (1 - weight) * p + weight * q: p the retriever's probability, q the generator's of the string. The
weight is fitted on validation crystals; weight 0, which leaves the retriever's answer as it is and appends the draws, is
among those tried, and wins ties: on the validation crystals the joint answer is never worse than the retriever's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.geometry.matcher import TOLERANCES, matcher
from crystalfw.core.interfaces import Proposal, Question
from crystalfw.core.library.entry import slots_of
from crystalfw.core.predict.generated import MAX_UNITS, Drawn, Generator, canonical_keys
from crystalfw.core.sample.trained import RETRIEVAL, Trained
from crystalfw.core.system.files import write_text_atomically
from crystalfw.core.system.progress import Progress

WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
"""Weights of the generator that are tried."""
RECORD = "joint.json"
AT = (1, 5, 20)
"""Numbers of candidates at which a weight is judged."""
CANDIDATES = 20


@dataclass(frozen=True)
class Candidate:
    """A proposal with both opinions of it."""

    proposal: Proposal
    retriever: float
    generator: float

    def score(self, weight: float) -> float:
        """What it is ranked by."""
        return (1 - weight) * self.retriever + weight * self.generator


class Joint:
    """The retriever's proposals and the generator's draws for a question, ranked together."""

    def __init__(self, trained: Trained, name: str, *, weight: float = 0.0, draws: int = 8) -> None:
        if trained.lookup is None:
            raise DataError(f"{name}: the model reads no known crystals, so there is no retriever to join; train templates")
        self.weight, self.generator = weight, Generator(trained, name, draws=draws)
        self.retriever, self.representation = trained.lookup.retriever, trained.components.representation

    @classmethod
    def load(cls, run: str | Path, *, draws: int = 8) -> Joint:
        """The model of a run folder, with the weight that was fitted after training; 0 where none was."""
        run = Path(run)
        record = run / RETRIEVAL / RECORD
        weight = float(json.loads(record.read_text(encoding="utf-8"))["weight"]) if record.is_file() else 0.0
        return cls(Trained.load(run), run.name, weight=weight, draws=draws)

    def answer(self, question: Question, n: int) -> list[Proposal]:
        """At most n crystals, the likeliest first; equal strings are merged, and the known crystal stays."""
        ordered = rank(self.candidates(question, n), self.weight)
        return [replace(found.proposal, probability=found.score(self.weight)) for found in ordered[:n]]

    def candidates(self, question: Question, n: int) -> list[Candidate]:
        """The retriever's n proposals in its order, then the generator's draws that are none of them."""
        known = self.retriever.propose(question, n)
        keys = frozenset(filter(None, canonical_keys(self.generator.trained, [p.crystal for p in known])))
        return self.merged(question, known, self.generator.drawn(question, list(unit_shares(question, known)), keys))

    def merged(self, question: Question, known: Sequence[Proposal], drawn: Sequence[Drawn]) -> list[Candidate]:
        """Known crystals and draws with both opinions of each; a draw that says a known string is left out."""
        shares = unit_shares(question, known)
        strings = [e.string if e.ok else "" for e in self.representation.encode([p.crystal for p in known])]
        keys = [self.representation.canonical_key(string) if string else "" for string in strings]
        said = self._said(question, known, strings)
        # variants of one string differ in geometry alone, of which the generator says nothing
        alike = [sum(p.probability for p, other in zip(known, keys, strict=True) if other == key) for key in keys]
        found = [
            Candidate(p, p.probability, said[k] * shares.get(p.units, 0.0) * p.probability / max(alike[k], 1e-30))
            for k, p in enumerate(known)
        ]
        fresh = sorted((one for one in drawn if one.key not in keys), key=lambda one: -one.probability * shares[one.units])
        return found + [Candidate(self.generator.proposal(one, 0.0), 0.0, one.probability * shares[one.units]) for one in fresh]

    def _said(self, question: Question, known: Sequence[Proposal], strings: Sequence[str]) -> list[float]:
        """The generator's probability of each known crystal's string, given its number of formula units."""
        said = [0.0] * len(known)
        for units in {p.units for p in known}:
            own = [k for k, p in enumerate(known) if p.units == units and strings[k]]
            for k, value in zip(own, self.generator.likelihoods(question, units, [strings[k] for k in own]), strict=True):
                said[k] = value
        return said


def rank(candidates: Sequence[Candidate], weight: float) -> list[Candidate]:
    """By score, the order given where scores are equal."""
    return sorted(candidates, key=lambda found: -found.score(weight))


def unit_shares(question: Question, known: Sequence[Proposal]) -> dict[int, float]:
    """Formula units to draw for, with their probability: those asked for, else the retriever's likeliest, else one."""
    shares: dict[int, float] = {}
    for proposal in known:
        shares[proposal.units] = shares.get(proposal.units, 0.0) + proposal.probability
    if question.units:
        total = sum(shares.get(units, 0.0) for units in question.units)
        return {u: shares.get(u, 0.0) / total if total else 1 / len(question.units) for u in question.units[:MAX_UNITS]}
    likeliest = sorted(shares, key=lambda units: -shares[units])[:MAX_UNITS]
    return {units: shares[units] for units in likeliest} or {1: 1.0}


def question_of_crystal(crystal: Crystal) -> Question:
    """Composition and number of atoms of a crystal; its own formula may not answer."""
    elements, counts, units = slots_of(crystal.numbers)
    return Question(elements, counts, (units,), exclude_own=True)


def hits(truth: Crystal, candidates: Sequence[Candidate]) -> NDArray[np.bool_]:
    """(candidates, tolerances) True where a candidate is the crystal."""
    reference = truth.structure
    found = [c.proposal.crystal.structure for c in candidates]
    right = np.zeros((len(found), len(TOLERANCES)), dtype=bool)
    for row, one in enumerate(found):
        for place, name in enumerate(TOLERANCES):  # the strict match is a loose one as well
            right[row, place] = matcher(name).get_rms_dist(reference, one) is not None
            if not right[row, place]:
                break
    return right


def share_found(judged: Sequence[tuple[list[Candidate], NDArray[np.bool_]]], weight: float) -> NDArray[np.float64]:
    """(AT, tolerances) share of questions whose crystal is among the first n, for every n of AT."""
    found = np.zeros((len(AT), len(TOLERANCES)))
    for candidates, right in judged:
        order = sorted(range(len(candidates)), key=lambda k: -candidates[k].score(weight))
        for row, n in enumerate(AT):
            found[row] += right[order[:n]].any(0) if len(order) else 0
    return found / max(1, len(judged))


def fit_weight(joint: Joint, crystals: Sequence[Crystal], run_dir: Path, say: Callable[[str], None]) -> float:
    """The weight with which most crystals are found, averaged over AT and both tolerances; kept in the run folder.

    Crystals whose formula the library has are left out: of them, the generator's memory would hold the answer.
    """
    judged = list(_judged(joint, crystals))
    best, tried = best_weight(judged)
    record: dict[str, Any] = {
        "weight": best, "crystals": len(judged), "at": AT, "tolerances": list(TOLERANCES),
        "found": {str(weight): shares.tolist() for weight, shares in tried.items()},
    }  # fmt: skip
    write_text_atomically(run_dir / RETRIEVAL / RECORD, json.dumps(record, indent=2))
    before, after = (100 * tried[weight][0, 0] for weight in (0.0, best))
    say(f"joint: weight {best:g} of the generator; on {len(judged)} val crystals n=1 loose {before:.1f} -> {after:.1f} %")
    return best


def best_weight(
    judged: Sequence[tuple[list[Candidate], NDArray[np.bool_]]],
) -> tuple[float, dict[float, NDArray[np.float64]]]:
    """The smallest of the WEIGHTS that find most, and what each finds."""
    tried = {weight: share_found(judged, weight) for weight in WEIGHTS}
    return max(WEIGHTS, key=lambda weight: (round(float(tried[weight].mean()), 9), -weight)), tried


def _judged(joint: Joint, crystals: Sequence[Crystal]) -> Iterator[tuple[list[Candidate], NDArray[np.bool_]]]:
    lookup = joint.generator.trained.lookup
    assert lookup is not None
    formulas = {lookup.library.slots(index) for index in range(len(lookup.library))}
    progress = Progress("weigh the generator", len(crystals))
    for number, crystal in enumerate(crystals, start=1):
        question = question_of_crystal(crystal)
        if (question.elements, question.counts) not in formulas:
            candidates = joint.candidates(question, CANDIDATES)
            yield candidates, hits(crystal, candidates)
        progress.update(number)
    progress.close()
