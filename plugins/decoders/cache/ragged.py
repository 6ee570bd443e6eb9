"""The cache of one-token steps on a CPU: compiled, each row reads its own tokens only, rows leave without copying.

Keys are stored head width first, so that the scores of a head are sums of contiguous rows, with no sum across a vector
register. A row's result depends on that row alone, bit for bit: never on its neighbours or on the batch size.

Shapes: B rows, H heads, L capacity in tokens, T new tokens, K head width, F fresh rows, P prefix tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystalfw.core.system.compiled import njit
from crystalfw.plugins.decoders.cache.static import KVCache

Floats = NDArray[np.float32]
WORTH_A_THREAD = 200_000
"""Cached numbers per layer below which a second thread costs more than it brings."""


class RaggedCache(KVCache):
    """KVCache for float32 on a CPU; `slots` tells where a row's keys lie, so that `select` moves nothing."""

    def __init__(
        self, n_layers: int, rows: int, n_heads: int, head_dim: int, length: int, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        assert dtype == torch.float32
        self._keys = [np.zeros((rows, n_heads, head_dim, length), dtype=np.float32) for _ in range(n_layers)]
        self._values = [np.zeros((rows, n_heads, length, head_dim), dtype=np.float32) for _ in range(n_layers)]
        self._slots = np.arange(rows)
        self.positions = torch.zeros(rows, dtype=torch.int64)
        self.filled = torch.zeros(rows, dtype=torch.int64)

    def begin(self, n_tokens: int) -> None:
        """Announce the next `n_tokens` tokens of every row, before the first layer attends."""
        self._before = self.filled.numpy().copy()
        self.filled += n_tokens
        longest = int(self.filled.max())
        assert longest <= self._keys[0].shape[3], f"{longest} tokens for a cache of {self._keys[0].shape[3]}"
        heads = self._keys[0].shape[1] * self._keys[0].shape[2]
        worth = int(self.filled.sum()) * heads // WORTH_A_THREAD
        self._threads = max(1, min(torch.get_num_threads(), worth))

    def attend(self, layer: int, qkv_BT3HK: Tensor) -> Tensor:
        """Store the new keys and values, then attend over everything up to each token: (B, T, D)."""
        qkv = qkv_BT3HK.contiguous().numpy()
        read = np.empty(qkv.shape[:2] + qkv.shape[3:], dtype=np.float32)
        arguments = qkv, self._keys[layer], self._values[layer], self._slots, self._before, read
        rows = len(qkv)
        if self._threads == 1:
            _attend_rows(*arguments, 0, rows)
        else:
            cuts = [rows * part // self._threads for part in range(self._threads + 1)]
            attend: Callable[..., None] = _attend_rows
            parts = [_pool().submit(attend, *arguments, cuts[n], cuts[n + 1]) for n in range(self._threads)]
            for part in parts:
                part.result()
        return torch.from_numpy(read).flatten(2)

    def select(self, index: Tensor) -> None:
        """Keep the rows `index` (R,), in this order; a row may occur twice, and only then is copied."""
        rows = index.cpu().numpy()
        slots = self._slots[rows]
        self.positions, self.filled = self.positions[index.cpu()], self.filled[index.cpu()]
        if len(np.unique(slots)) == len(slots):
            self._slots = slots
            return
        self._keys = [keys[slots] for keys in self._keys]
        self._values = [values[slots] for values in self._values]
        self._slots = np.arange(len(slots))

    def _put_row(self, layer: int, row: int, kept_P2HK: Tensor) -> None:
        count, kept = len(kept_P2HK), kept_P2HK.float().numpy()
        assert count <= self._keys[layer].shape[3]
        self._keys[layer][self._slots[row], :, :, :count] = kept[:, 0].transpose(1, 2, 0)
        self._values[layer][self._slots[row], :, :count] = kept[:, 1].transpose(1, 0, 2)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=max(1, torch.get_num_threads()), thread_name_prefix="decode")


@njit(cache=True, nogil=True, fastmath=True)
def _exponentials(scores: Floats, n: int, bits: NDArray[np.int32], powers: Floats) -> np.float32:
    """Replace the first n scores by exp(score - largest) and return their sum.

    exp(x) = 2^(x log2 e), the whole part put into the exponent bits (`bits` and `powers` are one memory), the fraction by
    a polynomial of degree 6 (relative error below 2e-7): unlike the library's, this is vectorised.
    """
    largest = scores[0]
    for s in range(n):
        largest = max(largest, scores[s])
    total = np.float32(0.0)
    for s in range(n):
        x = max((scores[s] - largest) * np.float32(1.4426950408889634), np.float32(-126.0))
        whole = math.floor(x)
        f = x - whole
        p = np.float32(1.535336188319500e-4)
        p = p * f + np.float32(1.339887440266574e-3)
        p = p * f + np.float32(9.618437357674640e-3)
        p = p * f + np.float32(5.550332471162809e-2)
        p = p * f + np.float32(2.402264791363012e-1)
        p = p * f + np.float32(6.931472028550421e-1)
        scores[s] = p * f + np.float32(1.0)
        bits[s] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    for s in range(n):
        scores[s] *= powers[s]
        total += scores[s]
    return total


@njit(cache=True, nogil=True, fastmath=True)
def _attend_rows(
    qkv_BT3HK: Floats,
    keys_BHKL: Floats,
    values_BHLK: Floats,
    slots_B: NDArray[np.int64],
    before_B: NDArray[np.int64],
    read_BTHK: Floats,
    first: int,
    stop: int,
) -> None:
    n_tokens, n_heads, head_dim = qkv_BT3HK.shape[1], qkv_BT3HK.shape[3], qkv_BT3HK.shape[4]
    capacity = keys_BHKL.shape[3]
    scores = np.empty(capacity, dtype=np.float32)
    bits = np.empty(capacity, dtype=np.int32)
    powers = bits.view(np.float32)
    scale = np.float32(1.0 / math.sqrt(head_dim))
    for b in range(first, stop):
        for t in range(n_tokens):
            place = before_B[b] + t
            n = place + 1
            for h in range(n_heads):
                keys_KL, values_LK = keys_BHKL[slots_B[b], h], values_BHLK[slots_B[b], h]
                for k in range(head_dim):
                    keys_KL[k, place] = qkv_BT3HK[b, t, 1, h, k]
                    values_LK[place, k] = qkv_BT3HK[b, t, 2, h, k]
                _scores(qkv_BT3HK[b, t, 0, h], keys_KL, n, scale, scores)
                total = _exponentials(scores, n, bits, powers)
                _weigh(scores, values_LK, n, np.float32(1.0) / total, read_BTHK[b, t, h])


@njit(cache=True, nogil=True, fastmath=True)
def _scores(query_K: Floats, keys_KL: Floats, n: int, scale: np.float32, scores: Floats) -> None:
    for s in range(n):
        scores[s] = np.float32(0.0)
    fours = len(query_K) // 4 * 4
    for k in range(0, fours, 4):
        q0, q1, q2, q3 = query_K[k] * scale, query_K[k + 1] * scale, query_K[k + 2] * scale, query_K[k + 3] * scale
        k0, k1, k2, k3 = keys_KL[k], keys_KL[k + 1], keys_KL[k + 2], keys_KL[k + 3]
        for s in range(n):
            scores[s] += q0 * k0[s] + q1 * k1[s] + q2 * k2[s] + q3 * k3[s]
    for k in range(fours, len(query_K)):
        q0 = query_K[k] * scale
        for s in range(n):
            scores[s] += q0 * keys_KL[k, s]


@njit(cache=True, nogil=True, fastmath=True)
def _weigh(weights: Floats, values_LK: Floats, n: int, norm: np.float32, read_K: Floats) -> None:
    for k in range(len(read_K)):
        read_K[k] = np.float32(0.0)
    fours = n // 4 * 4
    for s in range(0, fours, 4):
        w0, w1, w2, w3 = weights[s], weights[s + 1], weights[s + 2], weights[s + 3]
        v0, v1, v2, v3 = values_LK[s], values_LK[s + 1], values_LK[s + 2], values_LK[s + 3]
        for k in range(len(read_K)):
            read_K[k] += w0 * v0[k] + w1 * v1[k] + w2 * v2[k] + w3 * v3[k]
    for s in range(fours, n):
        w0 = weights[s]
        for k in range(len(read_K)):
            read_K[k] += w0 * values_LK[s, k]
    for k in range(len(read_K)):
        read_K[k] *= norm
