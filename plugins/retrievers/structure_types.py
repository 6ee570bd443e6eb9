"""Retriever `structure_types`: which known structure type will a composition take, and how sure is that?

A learned element metric (element_metric.py) scores every known type of the composition's anonymous formula; the crystal of
a type is its nearest entry with the elements exchanged and the volume corrected (volumes.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Proposal, Question, Retriever
from crystalfw.core.library.store import Library
from crystalfw.core.recipe.schema import Bounds, Count
from crystalfw.plugins.retrievers.element_metric import MAX_Z, ElementMetric, fit, type_scores
from crystalfw.plugins.retrievers.families import Counts, Families, Family
from crystalfw.plugins.retrievers.variants import Variants
from crystalfw.plugins.retrievers.volumes import exchange_scale, fit_volumes

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
        """Metrics fitted from different seeds; their probabilities are averaged."""
        temperature: Annotated[float, Bounds(0.1, 10)] = 1.0
        """Above 1 the probabilities are less sure than the fit says."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.metrics = nn.ModuleList(ElementMetric(config.width) for _ in range(config.members))
        self.register_buffer("volumes", torch.ones(MAX_Z, dtype=torch.float64))
        self._families: Mapping[Counts, Family] = {}
        self._library: Library | None = None
        self._seen: Variants | None = None

    def attach(self, library: Library) -> None:
        """Look for candidates in this library from now on."""
        self._library, self._families, self._seen = library, Families(library), Variants(library)

    volumes: Tensor

    def fit(self, library: Library, *, seed: int = 0, say: Callable[[str], None] = print) -> None:
        """Fit the metrics and volumes on the library, and attach it; the same seed gives the same weights."""
        self.attach(library)
        for member in range(self.config.members):
            torch.manual_seed(seed + member)
            metric = ElementMetric(self.config.width)
            self.metrics[member] = metric
            fit(metric, self._families, epochs=self.config.epochs, seed=seed + member, say=say)
        self.volumes = torch.from_numpy(fit_volumes(library))

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
        candidates.sort(key=lambda candidate: -candidate[0])
        return [self._crystal(family, question, *candidate) for candidate in candidates[:n]]

    def _variants(self, family: Family, logits_MX: np.ndarray, kind: int, p: float) -> list[tuple[float, int, int]]:
        """(probability, member, exchange) of the variants of a type: each by its nearest member, p shared by the votes."""
        assert self._seen is not None
        places = np.flatnonzero(family.types.ravel() == kind)
        logits = logits_MX.ravel()[places]
        order = np.argsort(-logits, kind="stable")[:MAX_VOTERS]
        order = order[logits[order] > -1e8]
        voters = [divmod(int(places[k]), len(family.exchanges)) for k in order]
        rows = [(int(family.members[member]), family.exchanges[way]) for member, way in voters]
        weights = np.exp(logits[order] - logits[order].max()) if len(order) else np.zeros(0)
        groups = self._seen.distinct(rows, MAX_VARIANTS)
        return [(p * float(weights[group].sum() / weights.sum()), *voters[group[0]]) for group in groups]

    def _logits(self, family: Family, question: Question) -> Tensor:
        """(S, M, X) of every metric S; entries of an excluded formula are out."""
        slots_QK = torch.tensor([question.elements])
        allowed = None
        if question.exclude_own:
            allowed = torch.from_numpy(~(family.elements == np.array(question.elements)).all(-1))[None]
        return torch.stack([metric(family, slots_QK, allowed)[0] for metric in self.metrics])

    def _crystal(self, family: Family, question: Question, p: float, member: int, way: int) -> Proposal:
        assert self._library is not None
        row = int(family.members[member])
        entry = self._library[row]
        to = {old: question.elements[slot] for old, slot in zip(entry.elements, family.exchanges[way], strict=True)}
        numbers = np.array([to[int(z)] for z in entry.numbers])
        scale = exchange_scale(self.volumes.numpy(), entry.numbers, numbers)
        crystal = Crystal(lattice=entry.lattice * scale, frac_coords=entry.frac_coords, numbers=numbers)
        return Proposal(crystal, p, template=entry.id, source=self._library.source(row), group=entry.group, units=entry.units)
