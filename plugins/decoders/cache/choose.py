"""Selects the cache of a decoder."""

from __future__ import annotations

import torch

from crystalfw.plugins.decoders.cache.static import KVCache


def new_cache(
    n_layers: int, rows: int, n_heads: int, head_dim: int, length: int, *, device: torch.device, dtype: torch.dtype
) -> KVCache:
    """The fastest cache for the device and dtype."""
    if device.type == "cpu" and dtype == torch.float32 and torch.is_inference_mode_enabled():
        from crystalfw.plugins.decoders.cache.ragged import RaggedCache

        return RaggedCache(n_layers, rows, n_heads, head_dim, length, device=device, dtype=dtype)
    return KVCache(n_layers, rows, n_heads, head_dim, length, device=device, dtype=dtype)
