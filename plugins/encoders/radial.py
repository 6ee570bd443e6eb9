"""Radial functions: what a distance says, and how a layer turns it into weights; smooth to zero at the cutoff.

Shapes: P pairs, R radial functions, W weights.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

SILU_SCALE, SIGMOID_SCALE = 1.6791767, 1.8467055
"""1 / sqrt(E[f(z)^2]) for a standard normal z: activations keep unit variance (e3nn's normalize2mom)."""


def envelope(u_P: Tensor) -> Tensor:
    """1 at u = 0; 0 with zero first and second derivative at u = distance / cutoff = 1, and beyond.

    The polynomial of DimeNet (Gasteiger, Gross, Guennemann, ICLR 2020, eq. 8) with p = 6.
    """
    u_P = u_P.clamp(max=1.0)
    return 1 - 28 * u_P**6 + 48 * u_P**7 - 21 * u_P**8


def radial_functions(kind: str, count: int, distances_P: Tensor, cutoff: float) -> Tensor:
    """(P, R) functions of the distance times the envelope.

    `bessel`: sin(n pi u) / u, n = 1..R (DimeNet, eq. 7, without its factor); `gaussian`: R bells evenly spaced.
    """
    u_P = distances_P / cutoff
    if kind == "bessel":
        n_R = torch.arange(1, count + 1, dtype=u_P.dtype, device=u_P.device)
        functions_PR = math.pi * n_R * torch.sinc(u_P[:, None] * n_R)
    else:
        centre_R = torch.linspace(0, 1, count, dtype=u_P.dtype, device=u_P.device)
        functions_PR = torch.exp(-0.5 * ((u_P[:, None] - centre_R) * count) ** 2)
    return functions_PR * envelope(u_P)[:, None]


class RadialNetwork(nn.Module):
    """(P, R) -> (P, W): two hidden layers without biases, so that weights and slopes vanish with the envelope."""

    def __init__(self, n_radial: int, hidden: int, n_weights: int) -> None:
        super().__init__()
        widths = [n_radial, hidden, hidden, n_weights]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(rows, columns) / math.sqrt(rows)) for rows, columns in itertools.pairwise(widths)
        )

    def forward(self, functions_PR: Tensor) -> Tensor:
        """The weights (P, W)."""
        first, second, last = self.weights
        hidden_PH = SILU_SCALE * nn.functional.silu(functions_PR @ first)
        hidden_PH = SILU_SCALE * nn.functional.silu(hidden_PH @ second)
        return hidden_PH @ last
