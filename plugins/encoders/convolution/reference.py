"""The reference kernel: e3nn's tensor product inside torch_geometric's message passing.

Shapes: N atoms, P pairs, E = 2 P edges, X features, S harmonics, W weights, O message columns.
"""

from __future__ import annotations

import warnings

import torch
from e3nn import o3
from torch import Tensor, nn

from crystalfw.plugins.encoders.convolution.pairs import Pairs
from crystalfw.plugins.encoders.convolution.paths import Layout, Paths

with warnings.catch_warnings():
    # torch_geometric scripts a class at import, which recent torch deprecates; nothing of ours is scripted
    warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
    from torch_geometric.nn import MessagePassing


class Reference(nn.Module):
    """x_j tensor Y(r_ij), weighted per channel, summed over the neighbours j of i."""

    def __init__(self, paths: Paths) -> None:
        super().__init__()
        self.paths = paths
        self.per_path = Layout(o3.Irreps([(path.source.channels, path.output.irrep) for path in paths.paths]))
        self._messages: dict[tuple[torch.device, torch.dtype], _Messages] = {}

    def messages_like(self, x_NX: Tensor) -> _Messages:
        """e3nn's product in x's precision: its constants are fixed when built, so casting it would keep float32 digits."""
        key = (x_NX.device, x_NX.dtype)
        if key not in self._messages:
            default = torch.get_default_dtype()
            torch.set_default_dtype(x_NX.dtype)
            try:
                self._messages[key] = _Messages(self._product()).to(x_NX.device)
            finally:
                torch.set_default_dtype(default)
        return self._messages[key]

    def _product(self) -> o3.TensorProduct:
        position = {block.start: index for index, block in enumerate(self.paths.source.blocks)}
        return o3.TensorProduct(
            self.paths.source.irreps,
            self.paths.harmonics,
            self.per_path.irreps,
            [(position[path.source.start], path.harmonic, k, "uvu", True) for k, path in enumerate(self.paths.paths)],
            shared_weights=False,
            internal_weights=False,
            irrep_normalization="component",
            path_normalization="none",
        )

    def forward(self, x_NX: Tensor, y_PS: Tensor, w_QW: Tensor, pairs: Pairs) -> Tensor:
        """Messages (N, O)."""
        w_PW = pairs.spread(w_QW)
        edge_index_2E = torch.stack([torch.cat([pairs.second, pairs.first]), torch.cat([pairs.first, pairs.second])])
        degrees = [degree for degree in range(self.paths.lmax + 1) for _ in range(2 * degree + 1)]
        signs_S = y_PS.new_tensor([(-1.0) ** degree for degree in degrees])
        y_ES = torch.cat([y_PS, y_PS * signs_S])
        messages = self.messages_like(x_NX)
        out_NO = messages(edge_index_2E, self.paths.source.to_e3nn(x_NX), y_ES, torch.cat([w_PW, w_PW]))
        return self._channel_last(out_NO)

    def _channel_last(self, out_NO: Tensor) -> Tensor:
        """e3nn's path-by-path blocks -> one block per irrep, the paths' channels side by side."""
        by_path = [
            out_NO[:, block.start : block.stop].unflatten(1, (block.channels, block.components)).transpose(1, 2)
            for block in self.per_path.blocks
        ]
        blocks = [
            torch.cat([part for part, path in zip(by_path, self.paths.paths, strict=True) if path.output is block], dim=2)
            for block in self.paths.output.blocks
        ]
        return torch.cat([block.flatten(1) for block in blocks], dim=1)


class _Messages(MessagePassing):
    def __init__(self, product: o3.TensorProduct) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.product = product

    def forward(self, edge_index: Tensor, x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x, y=y, w=w, size=(len(x), len(x)))

    def message(self, x_j: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return self.product(x_j, y, w)
