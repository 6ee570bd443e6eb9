"""Question -> ranked crystals: proposers fill a pool, duplicates are merged, a ranker puts it in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from crystalfw.core.interfaces import Proposal, Proposer, Question, Ranker, Retriever
from crystalfw.core.library.store import Library
from crystalfw.core.predict.order import in_order
from crystalfw.core.predict.pool import gather

DEEPER = 2
"""The pool holds this many times the candidates asked for, so that a ranker can lift one from below."""
LEAST_POOL = 40


@dataclass(frozen=True, eq=False)
class Predictor:
    """A fitted retriever with its library and ranker, and whoever else proposes."""

    library: Library
    retriever: Retriever
    ranker: Ranker
    others: Sequence[Proposer] = ()
    """Further proposers, such as a generator that copies from templates."""

    def pool(self, question: Question, n: int) -> list[Proposal]:
        """The candidates among which the n best are looked for, duplicates merged."""
        return gather([self.retriever, *self.others], question, max(DEEPER * n, LEAST_POOL))

    def answer(self, question: Question, n: int) -> list[Proposal]:
        """At most n crystals, each with its probability and reason, in the order of predict/order.py."""
        pool = self.pool(question, n)
        verdicts = self.ranker.rank(question, pool)
        warning = self._warning(question)
        judged = [replace(p, probability=v.probability, why=warning + v.why) for p, v in zip(pool, verdicts, strict=True)]
        return in_order(judged, n)

    def _warning(self, question: Question) -> str:
        from pymatgen.core import Element

        unseen = [Element.from_Z(z).symbol for z in question.elements if z not in self.library.elements]
        return f"a guess, the library has no crystal with {' or '.join(unseen)}; " if unseen else ""
