"""Scaled dot-product attention, in the fastest implementation for the device.

Measured (docs/guides/decoding.md): fused kernels win on GPUs; on CPUs in bfloat16, two plain batched products are several times
faster than torch's fused kernel.

Shapes: B crystals, H heads, T queries, S keys, K head width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

IMPLEMENTATIONS = ("auto", "bmm", "sdpa")
CHUNK, CHUNK_FROM = 128, 192
"""Causal attention over more than CHUNK_FROM tokens takes CHUNK queries at a time and only the keys up to the last of them:
at 400 tokens half the work, and scores that stay in the cache."""


def attend(q_BHTK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, allowed: Tensor | None, implementation: str = "auto") -> Tensor:
    """softmax(q k^T / sqrt(K)) v as (B, H, T, K); `allowed` is bool, broadcastable to (B, H, T, S), True where seen.

    Every query must be allowed at least one key. `implementation` is `bmm`, `sdpa` or `auto` (by device).
    """
    if implementation == "sdpa" or (implementation == "auto" and q_BHTK.device.type != "cpu"):
        return functional.scaled_dot_product_attention(q_BHTK, k_BHSK, v_BHSK, attn_mask=allowed)
    scores_BHTS = (q_BHTK / math.sqrt(q_BHTK.shape[-1])) @ k_BHSK.transpose(-2, -1)
    return softmax_where(scores_BHTS, allowed) @ v_BHSK


def attend_causal(q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor, implementation: str = "auto") -> Tensor:
    """`attend` where query t sees the keys up to t."""
    if implementation == "sdpa" or (implementation == "auto" and q_BHTK.device.type != "cpu"):
        return functional.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=True)
    length = q_BHTK.shape[-2]
    allowed_TT = torch.ones(length, length, dtype=torch.bool, device=q_BHTK.device).tril()
    if length <= CHUNK_FROM or torch.compiler.is_compiling():  # torch.compile would compile again for every length
        return attend(q_BHTK, k_BHTK, v_BHTK, allowed_TT, "bmm")
    parts = []
    for start in range(0, length, CHUNK):
        own, seen = slice(start, start + CHUNK), slice(0, start + CHUNK)
        q_BHCK, k_BHSK, v_BHSK = q_BHTK[:, :, own], k_BHTK[:, :, seen], v_BHTK[:, :, seen]
        parts.append(attend(q_BHCK, k_BHSK, v_BHSK, allowed_TT[own, seen], "bmm"))
    return torch.cat(parts, dim=2)


def softmax_where(scores_BHTS: Tensor, allowed: Tensor | None) -> Tensor:
    """Softmax over the last dimension, zero where not allowed; the result keeps the dtype of the scores."""
    if allowed is not None:
        # Adding the mask costs nothing in the backward pass; masked_fill would.
        bias = torch.zeros(allowed.shape, dtype=scores_BHTS.dtype, device=allowed.device)
        scores_BHTS = scores_BHTS + bias.masked_fill_(~allowed, float("-inf"))
    # Under autocast torch would return the weights in float32.
    with torch.autocast(scores_BHTS.device.type, enabled=False):
        return scores_BHTS.softmax(-1)
