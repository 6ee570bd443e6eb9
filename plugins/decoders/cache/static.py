"""Keys and values of the tokens written so far: rows have different lengths, leave and enter independently.

Shapes: B rows, H heads, S cached keys, T new tokens, K head width, F fresh rows, P prefix tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crystalfw.core.interfaces import DecodingCache
from crystalfw.core.model.attention import attend


class KVCache(DecodingCache):
    """A static cache in plain torch, for any device and dtype."""

    def __init__(
        self, n_layers: int, rows: int, n_heads: int, head_dim: int, length: int, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (rows, n_heads, length, head_dim)
        self.keys = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(n_layers)]
        self.values = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(n_layers)]
        self.positions = torch.zeros(rows, dtype=torch.int64)
        """On the CPU, so that reading it waits for nothing."""
        self.filled = torch.zeros(rows, dtype=torch.int64)
        """(B,) cached keys of each row, its prefix included; on the CPU."""

    def begin(self, n_tokens: int) -> None:
        """Announce the next `n_tokens` tokens of every row, before the first layer attends."""
        device, capacity = self.keys[0].device, self.keys[0].shape[2]
        places_BT = self.filled[:, None] + torch.arange(n_tokens)
        self.filled += n_tokens
        longest = int(self.filled.max())
        assert longest <= capacity, f"{longest} tokens for a cache of {capacity}"
        self._places_BT = places_BT.to(device, non_blocking=True)
        self._longest = longest
        self._allowed = (torch.arange(longest, device=device) <= self._places_BT[..., None])[:, None]

    def attend(self, layer: int, qkv_BT3HK: Tensor) -> Tensor:
        """Store the new keys and values, then attend over everything up to each token: (B, T, D)."""
        q_BHTK = qkv_BT3HK[:, :, 0].transpose(1, 2)
        rows_B1 = torch.arange(len(qkv_BT3HK), device=qkv_BT3HK.device)[:, None]
        keys, values = self.keys[layer], self.values[layer]
        keys[rows_B1, :, self._places_BT] = qkv_BT3HK[:, :, 1].to(keys.dtype)
        values[rows_B1, :, self._places_BT] = qkv_BT3HK[:, :, 2].to(values.dtype)
        k_BHSK, v_BHSK = keys[:, :, : self._longest], values[:, :, : self._longest]
        read_BHTK = attend(q_BHTK, k_BHSK.to(q_BHTK.dtype), v_BHSK.to(q_BHTK.dtype), self._allowed)
        return read_BHTK.transpose(1, 2).flatten(2)

    def put(self, layer: int, rows_F: Tensor, keys_values_FP2HK: Tensor, mask_FP: Tensor | None) -> None:
        """Store the real ones of P prefix tokens, gap-free from the front, for rows that are empty."""
        keep_FP = torch.ones(keys_values_FP2HK.shape[:2], dtype=torch.bool) if mask_FP is None else mask_FP.cpu()
        for row, keep_P, item_P2HK in zip(rows_F.tolist(), keep_FP, keys_values_FP2HK, strict=True):
            self._put_row(layer, row, item_P2HK[keep_P.to(item_P2HK.device)])

    def select(self, index: Tensor) -> None:
        """Keep the rows `index` (R,), in this order; a row may occur twice."""
        on_device = index.to(self.keys[0].device)
        self.keys = [keys[on_device] for keys in self.keys]
        self.values = [values[on_device] for values in self.values]
        self.positions, self.filled = self.positions[index.cpu()], self.filled[index.cpu()]

    def reset(self, rows: Tensor) -> None:
        """Empty these rows; what they held is never read again."""
        self.positions[rows.cpu()] = 0
        self.filled[rows.cpu()] = 0

    def _put_row(self, layer: int, row: int, kept_P2HK: Tensor) -> None:
        count = len(kept_P2HK)
        assert count <= self.keys[layer].shape[2]
        self.keys[layer][row, :, :count] = kept_P2HK[:, 0].transpose(0, 1).to(self.keys[layer].dtype)
        self.values[layer][row, :, :count] = kept_P2HK[:, 1].transpose(0, 1).to(self.values[layer].dtype)
