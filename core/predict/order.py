"""The order of an answer: the likeliest first, then the one that adds most to the chance that the truth is in the list.

A candidate that resembles one above it is right only where that one is not quite, so it waits: its probability counts as far
as it does not pass for any of those above (`alike`). This is maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998)
with probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crystalfw.core.interfaces import Proposal
from crystalfw.core.library.distances import resemblances


def in_order(judged: Sequence[Proposal], n: int) -> list[Proposal]:
    """At most n of the proposals; those whose shapes are not known are taken to resemble none."""
    ranked = sorted(judged, key=lambda proposal: -proposal.probability)
    resemblance = resemblances([proposal.shape for proposal in ranked])
    left = np.array([proposal.probability for proposal in ranked])
    waiting, found = np.ones(len(ranked), dtype=bool), []
    for _ in range(min(n, len(ranked))):
        best = int(np.where(waiting, left, -1.0).argmax())
        found.append(ranked[best])
        waiting[best] = False
        left = left * (1 - resemblance[best])
    return found
