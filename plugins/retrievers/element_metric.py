"""How far apart two elements are when one takes the other's place in a crystal: learned from which types formulas take.

Each element has two embeddings: a linear map of its tabulated properties plus a free vector. The cost of a candidate is

    sum over slots of share * D1[old, new]  +  mean over slots of D2[old, new],

D1 and D2 the distances of the embeddings; the score of a type is the log of the summed exp(-cost) of all candidates that
predict it: near entries vote, and many votes add up. Fitted by cross entropy over types, the entries of the question's own
formula left out. Shapes: Q questions, M members, X exchanges, K slots, Y types, W width, Z elements.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystalfw.plugins.retrievers.families import Counts, Family

MAX_Z = 104
MAX_CELLS = 4_000_000
"""Candidate slots of one step of the fit: bounds its memory to some hundred MB."""
MAX_QUESTIONS = 60_000
"""Questions of one pass; a larger library is sampled, so that a fit stays a matter of minutes."""
ABSENT = -1e9


@lru_cache(maxsize=1)
def element_features() -> Tensor:
    """(Z, F) electronegativity, radius, group, row, Mendeleev number, block and common oxidation states, standardised."""
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns of every value that it does not have; ours stand in below
        rows = [_row(Element.from_Z(z)) for z in range(1, MAX_Z)]
    features = torch.tensor(rows)
    features = (features - features.mean(0)) / features.std(0)
    return torch.cat([torch.zeros(1, features.shape[1]), features])


def _row(e: Any) -> list[float]:
    states = e.common_oxidation_states or (0,)
    return [
        2.0 if math.isnan(e.X) else e.X, float(e.atomic_radius_calculated or e.atomic_radius or 1.5), e.group, e.row,
        float(e.mendeleev_no or e.Z), *(float(e.block == block) for block in "spdf"), float(max(states)), float(min(states)),
    ]  # fmt: skip


class ElementMetric(nn.Module):
    """The two distances and their scales."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("features", element_features(), persistent=False)
        inputs = element_features().shape[1]
        self.linear = nn.ModuleList(nn.Linear(inputs, width) for _ in range(2))
        self.free = nn.ParameterList(0.1 * torch.randn(MAX_Z, width) for _ in range(2))
        self.log_scale = nn.Parameter(torch.zeros(2))

    def distances(self) -> Tensor:
        """(2, Z, Z)."""
        found = []
        for linear, free in zip(self.linear, self.free, strict=True):
            v_ZW = linear(self.features) + free
            found.append(((v_ZW[:, None] - v_ZW[None]) ** 2).sum(-1).clamp_min(1e-9).sqrt())
        return torch.stack(found)

    def forward(self, family: Family, slots_QK: Tensor, allowed_QM: Tensor | None = None) -> Tensor:
        """(Q, M, X) minus the cost of every candidate.

        Rows of the tables are taken first and exchanges are summed by one product: an index for every slot of every
        candidate would cost a hundred times as much where five elements can change places.
        """
        (m, k), q = family.elements.shape, len(slots_QK)
        table_2ZQK = self.distances().index_select(2, slots_QK.flatten())
        rows_2MKQK = table_2ZQK.index_select(1, torch.from_numpy(family.elements).flatten()).view(2, m, k, q, k)
        scale, share_K = 3 * self.log_scale.exp(), torch.from_numpy(family.share)
        cost_MKQK = scale[0] * share_K[:, None, None] * rows_2MKQK[0] + scale[1] / k * rows_2MKQK[1]
        logits = -(cost_MKQK.permute(2, 0, 1, 3).reshape(q, m, k * k) @ _taken(family.exchanges))
        return logits if allowed_QM is None else logits.masked_fill(~allowed_QM[:, :, None], ABSENT)


def _taken(exchanges: NDArray[np.int64]) -> Tensor:
    """(K * K, X) 1 where an exchange gives a slot of the entry (first index) a slot of the question (second)."""
    x, k = exchanges.shape
    found = torch.zeros(x, k, k)
    found.scatter_(2, torch.from_numpy(exchanges)[..., None], 1.0)
    return found.view(x, k * k).T


def type_scores(logits_QMX: Tensor, family: Family) -> Tensor:
    """(Q, Y) log of the summed weights of the candidates of each type."""
    flat = logits_QMX.flatten(1)
    top = flat.max(1, keepdim=True).values
    found = torch.zeros(len(flat), len(family.units)).index_add(1, torch.from_numpy(family.types).flatten(), (flat - top).exp())
    return found.clamp_min(1e-30).log() + top


Asked = Callable[[Counts, NDArray[np.int64]], NDArray[np.bool_]]
"""Ratio and elements (Q, K) -> which of these formulas are questions of a fit."""


def fit(
    metric: ElementMetric, known: Mapping[Counts, Family], asked: Asked, *, epochs: int, seed: int, say: Callable[[str], None]
) -> None:
    """Fit the metric on a library's families; each question is one entry, its own formula left out."""
    optimiser = torch.optim.Adam(metric.parameters(), lr=1e-2)
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        total, count = 0.0, 0
        for number, (family, rows) in enumerate(_batches(known, asked, rng)):
            found = _loss(metric, family, rows, with_units=number % 2 == 0)
            if found is None:
                continue
            loss, questions = found
            optimiser.zero_grad()
            (loss / 32).backward()
            optimiser.step()
            total, count = total + float(loss.detach()), count + questions
        for group in optimiser.param_groups:
            group["lr"] *= 0.6
        say(f"retriever: epoch {epoch + 1} of {epochs}, {total / max(count, 1):.3f} nats over {count:,} entries")


def _batches(known: Mapping[Counts, Family], asked: Asked, rng: np.random.Generator) -> list[tuple[Family, NDArray[np.int64]]]:
    batches = []
    for family in known.values():
        n = len(family.members)
        if n < 4:
            continue
        order = rng.permutation(n)
        order = order[asked(family.counts, family.elements[order])]
        step = max(1, min(64, MAX_CELLS // (n * len(family.exchanges) * len(family.counts))))
        batches += [(family, order[start : start + step]) for start in range(0, len(order), step)]
    found, questions = [], 0
    for k in rng.permutation(len(batches)):
        if questions < MAX_QUESTIONS:
            found.append(batches[k])
            questions += len(batches[k][1])
    return found


def _loss(metric: ElementMetric, family: Family, rows: NDArray[np.int64], *, with_units: bool) -> tuple[Tensor, int] | None:
    """Summed loss and number of questions whose type another formula has; None where there is none."""
    elements = family.elements
    allowed_QM = ~(elements[rows][:, None] == elements[None]).all(-1)
    wanted_Q = family.types[rows, 0]
    there_Q = np.array([(family.types[a] == y).any() for a, y in zip(allowed_QM, wanted_Q, strict=True)])
    if not there_Q.any():
        return None
    rows, allowed_QM, wanted_Q = rows[there_Q], allowed_QM[there_Q], wanted_Q[there_Q]
    scores_QY = type_scores(metric(family, torch.from_numpy(elements[rows]), torch.from_numpy(allowed_QM)), family)
    if with_units:  # half of the questions name the formula units: types of another number are no answers
        other_QY = family.units[None] != family.units[wanted_Q][:, None]
        scores_QY = scores_QY.masked_fill(torch.from_numpy(other_QY), ABSENT)
    return nn.functional.cross_entropy(scores_QY, torch.from_numpy(wanted_Q), reduction="sum"), len(rows)
