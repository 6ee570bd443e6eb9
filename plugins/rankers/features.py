"""What the learned ranker looks at: the evidence that proposers give by name, alone and against the rest of the pool."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.interfaces import Proposal, Question

NAMES = (
    "type", "nearest", "pull", "votes", "known", "closest", "strain", "kept", "packing", "orbits", "atoms", "own", "relative",
)  # fmt: skip
"""Names of evidence; what a proposer does not give counts as 0, other names are not looked at."""
AGAINST_BEST = ("nearest", "closest", "strain", "known", "packing", "orbits", "atoms")
"""Of these the distance from the likeliest proposal's value is looked at, too."""
WIDTH = len(NAMES) + len(AGAINST_BEST) + 5
OF_QUESTION = 6
SMALLEST = 1e-9


def features(question: Question, proposals: Sequence[Proposal]) -> NDArray[np.float32]:
    """(P, WIDTH) of every proposal; their order in the list does not matter."""
    named = _named(proposals)
    logs = np.log([max(proposal.probability, SMALLEST) for proposal in proposals])
    first = _first(proposals)
    against = named[:, [NAMES.index(name) for name in AGAINST_BEST]]
    above = (logs[None] > logs[:, None] + 1e-12).sum(1)
    common = np.broadcast_to([float(bool(question.units)), np.log(len(proposals))], (len(logs), 2))
    of_model = np.array([float(not proposal.template) for proposal in proposals])
    columns = [named, against - against[first], logs[:, None], (logs - logs.max())[:, None], np.log1p(above)[:, None], common]
    found = np.concatenate(columns, axis=1)
    found[:, NAMES.index("relative")] += 2 * of_model
    return found.astype(np.float32)


def of_question(question: Question, proposals: Sequence[Proposal]) -> NDArray[np.float32]:
    """(OF_QUESTION,) what says whether the right crystal is in the pool at all."""
    named = _named(proposals)
    shares = np.array([proposal.probability for proposal in proposals])
    first = _first(proposals)
    best = [named[first, NAMES.index(name)] for name in ("nearest", "strain")]
    known = np.log(1 + np.exp(named[:, NAMES.index("known")]).sum())
    return np.array(
        [*best, float(known), np.log(max(shares.max(), SMALLEST)), float(len(question.elements)), float(bool(question.units))],
        dtype=np.float32,
    )


def _named(proposals: Sequence[Proposal]) -> NDArray[np.float64]:
    return np.array([[proposal.evidence.get(name, 0.0) for name in NAMES] for proposal in proposals], dtype=np.float64)


def _first(proposals: Sequence[Proposal]) -> int:
    """The likeliest; of equals the one with the smaller name, so that the order of the list does not matter."""
    keys = [(-p.probability, p.template, p.source, p.group, tuple(sorted(p.evidence.items()))) for p in proposals]
    return min(range(len(keys)), key=keys.__getitem__)
