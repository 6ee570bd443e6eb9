"""Ranker `powder`: puts proposals in order by how well each explains a measured powder pattern.

The cell of every proposal is scanned and the best are refined, as `crystalfw solve` does it (core/powder/search.py); the
proposers' probabilities are the prior. Proposals keep their own cells: `solve` gives the fitted ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from crystalfw.core.interfaces import Proposal, Question, Ranker, Verdict
from crystalfw.core.powder.reading import read_pattern
from crystalfw.core.powder.target import Target, prepare


class Powder(Ranker):
    """The search of `crystalfw solve` among the proposals of a pool; nothing is learned."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `powder`."""

        pattern: str = ""
        """File of the measured pattern; without one the proposals stay as their proposers order them, and that is said."""
        wavelength: str = ""
        """CuKa, CoKa, ..., or angstrom; that of the file where empty."""
        unit: str = "2theta"
        """What the file's first column is: 2theta, q or d."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self._target: Target | None = None

    def rank(self, question: Question, proposals: Sequence[Proposal]) -> list[Verdict]:
        """A verdict on each, in the order given. Raises DataError where the file holds no pattern."""
        if not self.config.pattern:
            return [Verdict(proposal.probability, "no pattern was given; as its proposer says") for proposal in proposals]
        from crystalfw.core.powder.search import search  # compiled code

        if self._target is None:
            c = self.config
            self._target = prepare(read_pattern(c.pattern, wavelength=c.wavelength or None, unit=c.unit))
        numbered = [replace(proposal, template=str(place)) for place, proposal in enumerate(proposals)]
        verdicts = [Verdict(0.0, "explains the pattern less well than those that were refined") for _ in proposals]
        for answer in search(self._target, numbered).answers:
            explained, rwp = f"explains {100 * answer.explained:.0f} % of the pattern", f"Rwp {answer.fit.rwp:.3f}"
            verdicts[int(answer.proposal.template)] = Verdict(round(answer.probability, 6), f"{explained}, {rwp}")
        return verdicts
