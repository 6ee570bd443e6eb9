"""From shares to chances: how likely is a proposal right, when others that resemble it would be right as well?

The shares of a pool exclude each other. A proposal passes as right, too, where one that it resembles is the truth, so its
chance is the sum of all shares, each weighed by the resemblance. Platt's scaling (1999) of the log odds removes what is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crystalfw.core.interfaces import Proposal
from crystalfw.core.library.distances import resemblances

EDGE = 1e-6
PRIOR = 5.0
"""Strength with which a fit is drawn towards leaving the chances as they are, in questions."""
STEPS = 100


def chances(proposals: Sequence[Proposal], shares_P: Tensor) -> Tensor:
    """(P,) chance of each proposal that it, or one that it passes for, is the truth."""
    resemblance = torch.from_numpy(resemblances([proposal.shape for proposal in proposals])).to(shares_P)
    return (resemblance @ shares_P).clamp(0, 1)


def scaled(chances: Tensor, scale: Tensor) -> Tensor:
    """Chances with slope and shift (2,) applied to their log odds; 0 and 1 stay near where they are."""
    return torch.sigmoid(scale[0] * torch.logit(chances, EDGE) + scale[1])


def fit_scale(chances_Q: Tensor, right_Q: Tensor) -> Tensor:
    """(2,) slope and shift that make the chances of Q best proposals most likely, given which of them were right."""
    odds, right = torch.logit(chances_Q.double(), EDGE), right_Q.double()
    scale = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    before = torch.tensor([1.0, 0.0], dtype=torch.float64)
    optimiser = torch.optim.LBFGS([scale], max_iter=STEPS)

    def loss() -> Tensor:
        optimiser.zero_grad()
        said = torch.nn.functional.binary_cross_entropy_with_logits(scale[0] * odds + scale[1], right, reduction="sum")
        value: Tensor = said + PRIOR * ((scale - before) ** 2).sum()
        value.backward()
        return value

    optimiser.step(loss)
    found = scale.detach().float()
    return torch.stack([found[0].clamp_min(0.1), found[1]])
