"""Radial functions of a distance, and the weights that a layer makes of them; they go smoothly to zero at the cutoff.

Shapes: Q distances, R radial functions, W weights.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

SILU_SCALE, SIGMOID_SCALE = 1.6791767, 1.8467055
"""1 / sqrt(E[f(z)^2]) for a standard normal z: activations keep unit variance (e3nn's normalize2mom)."""


def envelope(u_Q: Tensor) -> Tensor:
    """1 at u = 0; 0 with zero first and second derivative at u = distance / cutoff = 1, and beyond.

    The polynomial of DimeNet (Gasteiger, Gross, Guennemann, ICLR 2020, eq. 8) with p = 6.
    """
    u_Q = u_Q.clamp(max=1.0)
    return 1 - 28 * u_Q**6 + 48 * u_Q**7 - 21 * u_Q**8


def radial_functions(kind: str, count: int, distances_Q: Tensor, cutoff: float) -> Tensor:
    """(Q, R) functions of the distance times the envelope.

    `bessel`: sin(n pi u) / u, n = 1..R (DimeNet, eq. 7, without its factor); `gaussian`: R bells evenly spaced.
    """
    u_Q = distances_Q / cutoff
    if kind == "bessel":
        n_R = torch.arange(1, count + 1, dtype=u_Q.dtype, device=u_Q.device)
        functions_QR = math.pi * n_R * torch.sinc(u_Q[:, None] * n_R)
    else:
        centre_R = torch.linspace(0, 1, count, dtype=u_Q.dtype, device=u_Q.device)
        functions_QR = torch.exp(-0.5 * ((u_Q[:, None] - centre_R) * count) ** 2)
    return functions_QR * envelope(u_Q)[:, None]


class RadialNetwork(nn.Module):
    """(Q, R) -> (Q, W): two hidden layers without biases, so that weights and slopes vanish with the envelope."""

    def __init__(self, n_radial: int, hidden: int, n_weights: int) -> None:
        super().__init__()
        widths = [n_radial, hidden, hidden, n_weights]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(rows, columns) / math.sqrt(rows)) for rows, columns in itertools.pairwise(widths)
        )

    def forward(self, functions_QR: Tensor) -> Tensor:
        """The weights (Q, W)."""
        first, second, last = self.weights
        hidden_QH = SILU_SCALE * nn.functional.silu(functions_QR @ first)
        hidden_QH = SILU_SCALE * nn.functional.silu(hidden_QH @ second)
        return hidden_QH @ last
