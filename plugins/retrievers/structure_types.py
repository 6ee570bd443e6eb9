"""Retriever `structure_types`: which known structure type will a composition take, and how sure is that?

Learned element metrics (element_metric.py) score every known type of the composition's anonymous formula; the crystal of a
type is its nearest entry with the elements exchanged and the volume corrected (volumes.py). The metrics share the library's
formulas out among them: each is fitted on all but its own share. A question that leaves its own formula out is answered by
the metric which never had it as a question, so that what is learned from such answers is honest.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from crystalfw.plugins.retrievers.variants import Variants
from crystalfw.plugins.retrievers.volumes import fit_volumes

MAX_VOTERS = 24
"""Nearest members of a type that are compared with each other."""
MAX_VARIANTS = 4
"""Variants that one type may propose."""


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
        self._exchange = Exchange(library, self.volumes.numpy(), self.bonds.numpy())

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
        if family is None:
            return []
        logits_SMX = self._logits(family, question)
        score_SY = torch.stack([type_scores(logits[None], family)[0] for logits in logits_SMX]) / self.config.temperature
        allowed_Y = torch.from_numpy(np.isin(family.units, question.units) if question.units else family.units > 0)
        probability_Y = score_SY.masked_fill(~allowed_Y, -1e30).softmax(-1).mean(0).numpy()
        logits_MX = logits_SMX.mean(0).numpy()
        likeliest = [int(y) for y in np.argsort(-probability_Y, kind="stable")[:n] if allowed_Y[y]]
        candidates = [c for y in likeliest for c in self._variants(family, logits_MX, y, float(probability_Y[y]))]
        candidates.sort(key=lambda candidate: -candidate.probability)
        return [self._exchange.proposal(family, question, candidate) for candidate in candidates[:n]]

    def _variants(self, family: Family, logits_MX: np.ndarray, kind: int, p: float) -> list[Candidate]:
        """The variants of a type: each by its nearest member, p shared by the votes."""
        assert self._seen is not None
        places = np.flatnonzero(family.types.ravel() == kind)
        logits = logits_MX.ravel()[places]
        order = np.argsort(-logits, kind="stable")[:MAX_VOTERS]
        order = order[logits[order] > -1e8]
        voters = [divmod(int(places[k]), len(family.exchanges)) for k in order]
        rows = [(int(family.members[member]), family.exchanges[way]) for member, way in voters]
        weights = np.exp(logits[order] - logits[order].max()) if len(order) else np.zeros(0)
        total = float(weights.sum())
        return [
            Candidate(
                *voters[group[0]], probability=p * float(weights[group].sum()) / total, type_probability=p,
                nearest=float(logits[order[group[0]]]), votes=len(group), known=len(places),
                pull=float(np.log(weights[group].sum() / weights[group[0]])),
            )
            for group in self._seen.distinct(rows, MAX_VARIANTS)
        ]  # fmt: skip

    def _logits(self, family: Family, question: Question) -> Tensor:
        """(S, M, X) of the metrics that may answer; entries of an excluded formula are out."""
        slots_QK = torch.tensor([question.elements])
        metrics = list(self.metrics)
        allowed = None
        if question.exclude_own:
            allowed = torch.from_numpy(~(family.elements == np.array(question.elements)).all(-1))[None]
            metrics = [metrics[self._share(question.elements, question.counts)]]
        return torch.stack([metric(family, slots_QK, allowed)[0] for metric in metrics])
