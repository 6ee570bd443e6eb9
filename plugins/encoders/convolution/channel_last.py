"""The convolution written out in plain torch, channels last: few large operations, any device, any derivative.

Per pair the harmonics become one small matrix A (K, D) per path; a message is A @ x times the radial weights.
Shapes: N atoms, P pairs, X features, S harmonics, W weights, O message columns, K = 2 l_out + 1, D = 2 l_in + 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crystalfw.plugins.encoders.convolution.pairs import Pairs
from crystalfw.plugins.encoders.convolution.paths import Paths


class ChannelLast(nn.Module):
    """Equal to the reference kernel; both directions of a pair share harmonics and weights."""

    def __init__(self, paths: Paths) -> None:
        super().__init__()
        self.paths = paths
        self._coefficients: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}

    def coefficients_like(self, y_PS: Tensor) -> list[Tensor]:
        """(2 l_sh + 1, K, D) per path, on y's device and in its precision; not buffers, so casts lose no digits."""
        key = (y_PS.device, y_PS.dtype)
        if key not in self._coefficients:
            self._coefficients[key] = [path.coefficients().to(y_PS) for path in self.paths.paths]
        return self._coefficients[key]

    def forward(self, x_NX: Tensor, y_PS: Tensor, w_QW: Tensor, pairs: Pairs) -> Tensor:
        """Messages (N, O)."""
        w_PW = pairs.spread(w_QW)
        matrices = self._matrices(y_PS)
        out_NO = x_NX.new_zeros(pairs.n_atoms, self.paths.output.dim)
        out_NO = out_NO.index_add(0, pairs.first, self._messages(x_NX[pairs.second], matrices, w_PW, reverse=False))
        return out_NO.index_add(0, pairs.second, self._messages(x_NX[pairs.first], matrices, w_PW, reverse=True))

    def _matrices(self, y_PS: Tensor) -> list[Tensor]:
        matrices = []
        for path, coefficients in zip(self.paths.paths, self.coefficients_like(y_PS), strict=True):
            _, rows, columns = coefficients.shape
            y_PJ = y_PS[:, path.harmonic**2 : (path.harmonic + 1) ** 2]
            matrices.append((y_PJ @ coefficients.flatten(1)).unflatten(1, (rows, columns)))
        return matrices

    def _messages(self, x_PX: Tensor, matrices: list[Tensor], w_PW: Tensor, *, reverse: bool) -> Tensor:
        by_block: dict[int, list[Tensor]] = {}
        for path, matrix_PKD in zip(self.paths.paths, matrices, strict=True):
            x_PDM = path.source.take(x_PX)
            sign = -1.0 if reverse and path.harmonic % 2 else 1.0
            w_PM = sign * w_PW[:, path.weight : path.weight + path.source.channels]
            # a multiply and a sum over at most five components beat thousands of tiny matrix products
            product_PKM = (matrix_PKD[..., None] * x_PDM[:, None]).sum(2)
            by_block.setdefault(path.output.start, []).append(product_PKM * w_PM[:, None])
        return torch.cat([torch.cat(parts, dim=2).flatten(1) for _, parts in sorted(by_block.items())], dim=1)
