"""The laws of rankers, checked on a small pool of made-up evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.records import Judged, Proposal, Question, Verdict
from crystalfw.core.testing.laws import Broken, Subject, law

QUESTION = Question((11, 17), (1, 1))


def pool(seed: int, size: int = 5) -> list[Proposal]:
    """Proposals with evidence drawn at random; their probabilities fall."""
    rng = np.random.default_rng(seed)
    return [_proposal(k, 0.5**k, {"nearest": -float(rng.random()), "votes": float(rng.random())}) for k in range(1, size + 1)]


def _proposal(number: int, share: float, evidence: dict[str, float]) -> Proposal:
    crystal = Crystal(
        lattice=(3.5 + number) * np.eye(3), frac_coords=np.array([[0.0] * 3, [0.5] * 3]), numbers=np.array([11, 17])
    )
    return Proposal(crystal, share, template=f"t{number}", source="made up", group=221, units=1, evidence=evidence)


def fitted(subject: Subject):  # type: ignore[no-untyped-def]
    """A fresh ranker that has learned from pools whose right answer has the largest `nearest`."""
    ranker = subject.make()
    pools = [pool(seed) for seed in range(40)]
    ranker.fit([Judged(QUESTION, found, _nearest(found)) for found in pools], seed=0, say=lambda line: None)
    return ranker


def _nearest(found: list[Proposal]) -> list[bool]:
    best = max(proposal.evidence["nearest"] for proposal in found)
    return [proposal.evidence["nearest"] == best for proposal in found]


def _said(verdicts: list[Verdict]) -> list[tuple[float, str]]:
    return [(round(verdict.probability, 6), verdict.why) for verdict in verdicts]


@law("ranker", "It gives one verdict for each proposal, with a probability and a reason in a line.", "Return them in order.")
def verdicts(subject: Subject) -> None:  # noqa: D103
    ranker = fitted(subject)
    for found in ([], pool(1, 1), pool(2)):
        given = ranker.rank(QUESTION, found)
        if len(given) != len(found):
            raise Broken(f"for {len(found)} proposals it gives {len(given)} verdicts.")
        for verdict in given:
            if not 0 <= verdict.probability <= 1:
                raise Broken(f"a probability is {verdict.probability}.")
            if not verdict.why or "\n" in verdict.why:
                raise Broken(f"a reason is {verdict.why!r}.")


@law("ranker", "The order of the proposals does not change the verdicts.", "Look at the pool as a set.")
def order(subject: Subject) -> None:  # noqa: D103
    ranker, found = fitted(subject), pool(3)
    if _said(ranker.rank(QUESTION, found))[::-1] != _said(ranker.rank(QUESTION, found[::-1])):
        raise Broken("turned around, the proposals get other verdicts.")


@law("ranker", "The same question gives the same verdicts.", "Draw nothing while ranking.")
def determinism(subject: Subject) -> None:  # noqa: D103
    ranker, found = fitted(subject), pool(4)
    if _said(ranker.rank(QUESTION, found)) != _said(ranker.rank(QUESTION, found)):
        raise Broken("two answers differ.")


@law("ranker", "Evidence with a name that it does not know changes nothing.", "Read evidence by name, with a default.")
def strangers(subject: Subject) -> None:  # noqa: D103
    ranker, found = fitted(subject), pool(5)
    more = [replace(proposal, evidence={**proposal.evidence, "law_of_strangers": 3.0}) for proposal in found]
    if _said(ranker.rank(QUESTION, found)) != _said(ranker.rank(QUESTION, more)):
        raise Broken("an unknown name changes the verdicts.")
    if len(ranker.rank(QUESTION, [replace(proposal, evidence={}) for proposal in found])) != len(found):
        raise Broken("without evidence there are not as many verdicts as proposals.")


@law("ranker", "A state_dict gives the same verdicts as fit.", "Register all that is learned.")
def state_dict(subject: Subject) -> None:  # noqa: D103
    first, second, found = fitted(subject), subject.make(), pool(6)
    second.load_weights(first.state_dict())
    if _said(first.rank(QUESTION, found)) != _said(second.rank(QUESTION, found)):
        raise Broken("a loaded ranker gives other verdicts.")
