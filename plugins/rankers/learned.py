"""Ranker `learned`: a small network corrects the log probability of each proposal by its evidence.

The corrected logits of a question's proposals, and one logit for "none of them", pass through a softmax: the probabilities
say how often the crystal is right, not only which one is likelier. Fitted by the likelihood of the right ones, the mean of
several networks. It starts as the proposers' own order and learns where to leave it. What resembles the right crystal counts
as right, too, and the chances are scaled on questions that the networks did not learn from (calibration.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from crystalfw.core.interfaces import Judged, Proposal, Question, Ranker, Verdict
from crystalfw.core.recipe.schema import Bounds, Count
from crystalfw.plugins.rankers.calibration import chances, fit_scale, scaled
from crystalfw.plugins.rankers.features import OF_QUESTION, WIDTH, features, of_question
from crystalfw.plugins.rankers.words import reason

Known = tuple[Tensor, Tensor, Tensor, Tensor]
LOG_P = WIDTH - 5
"""Column of the log probability."""


class Corrections(nn.Module):
    """(..., WIDTH) -> (...) what is added to the log probability; (..., OF_QUESTION) -> (...) the logit of none."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.of_proposal = nn.Sequential(nn.Linear(WIDTH, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.of_none = nn.Sequential(nn.Linear(OF_QUESTION, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        for layers in (self.of_proposal, self.of_none):
            nn.init.zeros_(layers[-1].weight)  # type: ignore[arg-type]
            nn.init.zeros_(layers[-1].bias)  # type: ignore[arg-type]

    def forward(self, x_QPF: Tensor, log_p_QP: Tensor, mask_QP: Tensor, y_QG: Tensor) -> Tensor:
        """(Q, P + 1) log probabilities, that of none last."""
        logits = (log_p_QP + self.of_proposal(x_QPF)[..., 0]).masked_fill(~mask_QP, -1e9)
        return torch.cat([logits, self.of_none(y_QG) - 2.0], -1).log_softmax(-1)


class Learned(Ranker):
    """Evidence weighed by a small network fitted on questions whose answers the library knows."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `learned`."""

        hidden: Count = 12
        """Units of the hidden layer."""
        networks: Count = 4
        """Networks fitted from different seeds; their probabilities are averaged."""
        steps: Count = 60
        """Steps of the fit, each over all questions: few, so that the network stays near the proposers' order."""
        decay: Annotated[float, Bounds(0, 1)] = 0.02
        """Weight decay."""

    version = "2"

    @classmethod
    def upgrade(
        cls, version: str, options: dict[str, Any], state: dict[str, Tensor]
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Version 1 did not scale its chances."""
        return options, {"scale": torch.tensor([1.0, 0.0]), **state}

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.networks = nn.ModuleList(Corrections(config.hidden) for _ in range(config.networks))
        for name, width in (("x", WIDTH), ("y", OF_QUESTION)):
            self.register_buffer(f"{name}_mean", torch.zeros(width))
            self.register_buffer(f"{name}_size", torch.ones(width))
        self.register_buffer("is_fitted", torch.zeros(1))
        self.register_buffer("scale", torch.tensor([1.0, 0.0]))

    x_mean: Tensor
    x_size: Tensor
    y_mean: Tensor
    y_size: Tensor
    is_fitted: Tensor
    scale: Tensor

    def fit(self, judged: Sequence[Judged], *, seed: int = 0, say: Callable[[str], None] = print) -> None:
        """Fit on these questions; with none it keeps the order of the proposers."""
        judged = [one for one in judged if len(one.proposals)]
        if not judged:
            return
        x, mask, y, right = _padded(judged)
        self.x_mean, self.x_size = x[mask].mean(0), x[mask].std(0).nan_to_num().clamp_min(1e-3)
        self.y_mean, self.y_size = y.mean(0), y.std(0).nan_to_num().clamp_min(1e-3)
        self.is_fitted = torch.ones(1)
        known = (x, mask, y, right)
        fresh, loss = self._networks(known, self.config.networks, seed)
        self.networks.load_state_dict(fresh.state_dict())
        self.scale = self._scale(judged, known, seed)
        say(f"ranker: {loss:.3f} nats over {len(judged):,} questions")

    def calibrate(self, judged: Sequence[Judged]) -> None:
        """Scale the chances of the best proposals to how often they are right."""
        judged = [one for one in judged if len(one.proposals)]
        if not judged or not bool(self.is_fitted):
            return
        self.scale = _fitted_scale([(one, self._chances(one.question, one.proposals)) for one in judged])

    def _networks(self, known: Known, count: int, seed: int) -> tuple[nn.ModuleList, float]:
        """Freshly fitted networks and the loss of the last."""
        found, loss = nn.ModuleList(), 0.0
        for k in range(count):
            torch.manual_seed(seed + k)
            found.append(Corrections(self.config.hidden))
            loss = self._fit(found[-1], *known)  # type: ignore[arg-type]
        return found, loss

    def _scale(self, judged: Sequence[Judged], known: Known, seed: int) -> Tensor:
        """(2,) from the best proposals of each half of the questions, judged by networks that learned from the other."""
        found = []
        fold = torch.arange(len(judged)) // 2 % 2  # every other question is of another kind: pairs stay together
        if len(judged) < 4:
            return torch.tensor([1.0, 0.0])
        for half in (0, 1):
            learned = fold != half
            networks, _ = self._networks(tuple(part[learned] for part in known), 2, seed)  # type: ignore[arg-type]
            for q in torch.nonzero(~learned).flatten().tolist():
                x, y = known[0][None, q, : len(judged[q].proposals)], known[2][None, q]
                found.append((judged[q], chances(judged[q].proposals, self._shares(networks, x, y))))
        return _fitted_scale(found)

    def _fit(self, network: Corrections, x: Tensor, mask: Tensor, y: Tensor, right: Tensor) -> float:
        optimiser = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=self.config.decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.config.steps)
        inputs, log_p, asked = self._scaled_x(x), x[..., LOG_P], (y - self.y_mean) / self.y_size
        value = 0.0
        for _ in range(self.config.steps):
            optimiser.zero_grad()
            loss = -(network(inputs, log_p, mask, asked).masked_fill(~right, -1e9).logsumexp(-1)).mean()
            loss.backward()
            optimiser.step()
            schedule.step()
            value = float(loss.detach())
        return value

    def _scaled_x(self, x: Tensor) -> Tensor:
        return ((x - self.x_mean) / self.x_size).clamp(-6, 6)

    @torch.no_grad()
    def rank(self, question: Question, proposals: Sequence[Proposal]) -> list[Verdict]:
        """A verdict on each, in the order given."""
        if not proposals:
            return []
        shares = [proposal.probability for proposal in proposals]
        if bool(self.is_fitted):
            found = scaled(self._chances(question, proposals), self.scale)
            shares = [round(share, 6) for share in found.tolist()]
        before = [proposal.probability for proposal in proposals]
        reasons = [reason(proposal, place, before, shares) for place, proposal in enumerate(proposals)]
        return [Verdict(share, why) for share, why in zip(shares, reasons, strict=True)]

    def _chances(self, question: Question, proposals: Sequence[Proposal]) -> Tensor:
        """(P,) chance of each proposal, not scaled."""
        x = torch.from_numpy(features(question, proposals))[None]
        y = torch.from_numpy(of_question(question, proposals))[None]
        return chances(proposals, self._shares(self.networks, x, y))

    @torch.no_grad()
    def _shares(self, networks: nn.ModuleList, x: Tensor, y: Tensor) -> Tensor:
        """(P,) mean share of each proposal of one question, (1, P, WIDTH) and (1, OF_QUESTION)."""
        mask = torch.ones(x.shape[:2], dtype=torch.bool)
        asked = (y - self.y_mean) / self.y_size
        found = [network(self._scaled_x(x), x[..., LOG_P], mask, asked)[0, :-1].exp() for network in networks]
        return torch.stack(found).mean(0)


def _fitted_scale(found: Sequence[tuple[Judged, Tensor]]) -> Tensor:
    """(2,) scale from the best proposal of each question, (P,) chances, and whether it was right."""
    right = [bool(one.right[int(chances_P.argmax())]) for one, chances_P in found]
    return fit_scale(torch.stack([chances_P.max() for _, chances_P in found]), torch.tensor(right))


def _padded(judged: Sequence[Judged]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(Q, P, WIDTH) features, (Q, P) which are there, (Q, OF_QUESTION), (Q, P + 1) which are right, none last."""
    most = max(len(one.proposals) for one in judged)
    x = np.zeros((len(judged), most, WIDTH), dtype=np.float32)
    mask, right = np.zeros((len(judged), most), dtype=bool), np.zeros((len(judged), most + 1), dtype=bool)
    for q, one in enumerate(judged):
        p = len(one.proposals)
        x[q, :p], mask[q, :p], right[q, :p] = features(one.question, one.proposals), True, one.right
        right[q, -1] = not any(one.right)
    y = np.stack([of_question(one.question, one.proposals) for one in judged])
    return torch.from_numpy(x), torch.from_numpy(mask), torch.from_numpy(y), torch.from_numpy(right)
