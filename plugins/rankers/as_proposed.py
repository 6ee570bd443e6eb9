"""Ranker `as_proposed`: keeps the probabilities of whoever proposed."""

from __future__ import annotations

from collections.abc import Sequence

from crystalfw.core.interfaces import Proposal, Question, Ranker, Verdict


class AsProposed(Ranker):
    """The baseline that a learned ranker has to beat."""

    def __init__(self, config: object) -> None:
        super().__init__()

    def rank(self, question: Question, proposals: Sequence[Proposal]) -> list[Verdict]:
        """The probabilities as they are."""
        return [Verdict(proposal.probability, "as likely as its proposer says") for proposal in proposals]
