"""Retriever `structure_types`: which known structure type will a composition take, and how sure is that?

Learned element metrics (element_metric.py) score every known type of the composition's anonymous formula; the crystal of a
type is its nearest entry with the elements exchanged and the volume corrected (volumes.py). The metrics share the library's
formulas out among them: each is fitted on all but its own share. A question that leaves its own formula out is answered by
the metric which never had it as a question, so that what is learned from such answers is honest.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystalfw.core.interfaces import Proposal, Question, Retriever
from crystalfw.core.library.store import Library
from crystalfw.core.recipe.schema import Bounds, Count
from crystalfw.plugins.retrievers.bonds import fit_bonds
from crystalfw.plugins.retrievers.element_metric import MAX_Z, ElementMetric, fit, type_scores
from crystalfw.plugins.retrievers.exchange import Candidate, Exchange
from crystalfw.plugins.retrievers.families import Counts, Families, Family
from crystalfw.plugins.retrievers.relatives import Relatives
from crystalfw.plugins.retrievers.variants import Variants
from crystalfw.plugins.retrievers.volumes import fit_volumes

MAX_VOTERS = 24
"""Nearest members of a type that are compared with each other."""
MAX_VARIANTS = 4
"""Variants that one type may propose."""
WORTHLESS = 9.0
"""Nats below the best type at which an ordering of a parent is not made."""
NO_TYPE = -12.0
"""What the best type scores at least; where there is none, parents of up to this cost and `WORTHLESS` more are made."""


class StructureTypes(Retriever):
    """Known structure types with the elements exchanged, ranked by learned probability."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `structure_types`."""

        width: Count = 24
        """Numbers in each element's embedding."""
        epochs: Count = 6
        """Passes over the library when the metric is fitted."""
        members: Count = 3
        """Metrics fitted from different seeds, each on all formulas but its share; their probabilities are averaged."""
        temperature: Annotated[float, Bounds(0.1, 10)] = 1.0
        """Above 1 the probabilities are less sure than the fit says."""
        relatives: bool = True
        """Whether ratios in which two elements are one species are looked at, too."""

    version = "2"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.metrics = nn.ModuleList(ElementMetric(config.width) for _ in range(config.members))
        self.register_buffer("volumes", torch.ones(MAX_Z, dtype=torch.float64))
        self.register_buffer("bonds", torch.ones(2, MAX_Z, MAX_Z, dtype=torch.float64))
        self._families: Mapping[Counts, Family] = {}
        self._library: Library | None = None
        self._seen: Variants | None = None

    volumes: Tensor
    bonds: Tensor

    def attach(self, library: Library) -> None:
        """Look for candidates in this library from now on."""
        self._library, self._families, self._seen = library, Families(library), Variants(library)
        volumes, bonds = self.volumes.numpy(), self.bonds.numpy()
        self._exchange = Exchange(library, volumes, bonds)
        self._relatives = Relatives(library, self._families, volumes, bonds)

    def fit(self, library: Library, *, seed: int = 0, say: Callable[[str], None] = print) -> None:
        """Fit the metrics, volumes and distances on the library, and attach it; the same seed gives the same weights."""
        families = Families(library)
        for member in range(self.config.members):
            torch.manual_seed(seed + member)
            metric = ElementMetric(self.config.width)
            self.metrics[member] = metric
            fit(metric, families, self._asked(member), epochs=self.config.epochs, seed=seed + member, say=say)
        self.volumes, self.bonds = torch.from_numpy(fit_volumes(library)), fit_bonds(library)
        self.attach(library)

    def _asked(self, member: int) -> Callable[[Counts, NDArray[np.int64]], NDArray[np.bool_]]:
        """Which formulas are questions of this metric."""

        def asked(counts: Counts, slots_QK: NDArray[np.int64]) -> NDArray[np.bool_]:
            return np.array([self._share(row, counts) != member for row in slots_QK.tolist()], bool) | (
                self.config.members == 1
            )

        return asked

    def _share(self, elements: list[int] | tuple[int, ...], counts: Counts) -> int:
        """The metric whose share a formula is."""
        return zlib.crc32(repr((tuple(elements), counts)).encode()) % self.config.members

    @torch.no_grad()
    def propose(self, question: Question, n: int) -> list[Proposal]:
        """The n likeliest variants of structure types, each as a crystal; fewer where the library knows fewer."""
        assert self._library is not None, "fit or attach a library first"
        family = self._families.get(question.counts)
        scored = None if family is None else self._types(family, question)
        best = NO_TYPE if scored is None else float(scored[1].mean(0).max())
        related = self._related(question, max(best, NO_TYPE) - WORTHLESS)
        scores_SR = torch.tensor([score for score, _ in related]).expand(1 if scored is None else len(scored[1]), -1)
        if family is None or scored is None:
            shares = scores_SR.softmax(-1).mean(0).tolist() if related else []
            return _likeliest([replace(p, probability=s) for s, (_, p) in zip(shares, related, strict=True)], n)
        logits_MX, scores_SY = scored
        shares_S = torch.cat([scores_SY, scores_SR], -1).softmax(-1).mean(0).numpy()
        found = self._of_types(family, question, logits_MX, shares_S[: len(family.units)], n)
        ordered = zip(shares_S[len(family.units) :].tolist(), related, strict=True)
        return _likeliest([*found, *(replace(proposal, probability=share) for share, (_, proposal) in ordered)], n)

    def _types(self, family: Family, question: Question) -> tuple[NDArray[np.float32], Tensor] | None:
        """(M, X) mean logits of the candidates, (S, Y) scores of the types by every metric; None where no type is allowed."""
        allowed_Y = torch.from_numpy(np.isin(family.units, question.units) if question.units else family.units > 0)
        if not allowed_Y.any():
            return None
        logits_SMX = self._logits(family, question)
        scores_SY = torch.stack([type_scores(logits[None], family)[0] for logits in logits_SMX]) / self.config.temperature
        return logits_SMX.mean(0).numpy(), scores_SY.masked_fill(~allowed_Y, -1e30)

    def _of_types(
        self, family: Family, question: Question, logits_MX: NDArray[np.float32], shares_Y: NDArray[np.float32], n: int
    ) -> list[Proposal]:
        likeliest = [int(y) for y in np.argsort(-shares_Y, kind="stable")[:n] if shares_Y[y] > 0]
        candidates = [c for y in likeliest for c in self._variants(family, logits_MX, y, float(shares_Y[y]))]
        candidates.sort(key=lambda candidate: -candidate.probability)
        return [self._exchange.proposal(family, question, candidate) for candidate in candidates[:n]]

    def _related(self, question: Question, least: float) -> list[tuple[float, Proposal]]:
        """Orderings of parents that score at least `least`."""
        if not self.config.relatives or len(question.counts) < 2:
            return []
        metrics = self._metrics(question)
        slots_QK = torch.tensor([question.elements])

        def score(family: Family) -> NDArray[np.float64]:
            logits = torch.stack([metric(family, slots_QK)[0, :, 0] for metric in metrics])
            return np.asarray(logits.mean(0).double().numpy())

        return self._relatives.proposals(question, score, least)

    def _variants(self, family: Family, logits_MX: np.ndarray, kind: int, p: float) -> list[Candidate]:
        """The variants of a type: each by the member most like the mean of the near ones, p shared by the votes."""
        assert self._seen is not None
        places = np.flatnonzero(family.types.ravel() == kind)
        logits = logits_MX.ravel()[places]
        order = np.argsort(-logits, kind="stable")[:MAX_VOTERS]
        order = order[logits[order] > -1e8]
        voters = [divmod(int(places[k]), len(family.exchanges)) for k in order]
        rows = [(int(family.members[member]), family.exchanges[way]) for member, way in voters]
        weights = np.exp(logits[order] - logits[order].max()) if len(order) else np.zeros(0)
        total = float(weights.sum())
        found = []
        for group in self._seen.distinct(rows, MAX_VARIANTS):
            share = float(weights[group].sum())
            typical = group[self._seen.most_typical([rows[k] for k in group], weights[group])]
            found.append(
                Candidate(
                    *voters[typical], probability=p * share / total, type_probability=p, nearest=float(logits[order[group[0]]]),
                    votes=len(group), known=len(places), pull=float(np.log(share / weights[group[0]])),
                )
            )  # fmt: skip
        return found

    def _metrics(self, question: Question) -> list[ElementMetric]:
        """The metrics that may answer."""
        metrics = [metric for metric in self.metrics if isinstance(metric, ElementMetric)]
        return [metrics[self._share(question.elements, question.counts)]] if question.exclude_own else metrics

    def _logits(self, family: Family, question: Question) -> Tensor:
        """(S, M, X) of the metrics that may answer; entries of an excluded formula are out."""
        allowed = None
        if question.exclude_own:
            allowed = torch.from_numpy(~(family.elements == np.array(question.elements)).all(-1))[None]
        slots_QK = torch.tensor([question.elements])
        return torch.stack([metric(family, slots_QK, allowed)[0] for metric in self._metrics(question)])


def _likeliest(found: list[Proposal], n: int) -> list[Proposal]:
    return sorted(found, key=lambda proposal: -proposal.probability)[:n]
