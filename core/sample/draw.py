"""Choosing the next token: filters, temperature, and noise that depends on nothing but (seed, sample, step, token).

A counter-based stream: no state is kept, so a sample comes out the same whatever batch, process or order it is written in.
The largest of logit / temperature + Gumbel noise is a draw from the softmax (Gumbel 1954; Maddison et al. 2014).

Shapes: R rows, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import ConditionError
from crystalfw.core.system.compiled import njit


@dataclass(frozen=True, kw_only=True)
class TokenDraw:
    """How the next token is drawn from the allowed ones: temperature first, then the filters, as they are given."""

    temperature: float = 1.0
    """Logits are divided by it; 0 always takes the likeliest token."""
    top_k: int | None = None
    """Keep the k likeliest tokens."""
    top_p: float | None = None
    """Keep the likeliest tokens that together just reach this probability."""
    min_p: float | None = None
    """Keep tokens at least this share as likely as the likeliest."""

    def __post_init__(self) -> None:
        if self.temperature < 0 or not math.isfinite(self.temperature):
            raise ConditionError(f"sample.temperature is {self.temperature}; it must be 0 or more")
        if self.top_k is not None and self.top_k < 1:
            raise ConditionError(f"sample.top_k is {self.top_k}; it must be 1 or more")
        for name in ("top_p", "min_p"):
            share = getattr(self, name)
            if share is not None and not 0 < share <= 1:
                raise ConditionError(f"sample.{name} is {share}; it must be above 0 and at most 1")

    def draw(
        self,
        logits_RV: NDArray[np.float32],
        allowed_RV: NDArray[np.bool_],
        seed: int,
        index_R: NDArray[np.int64],
        step_R: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """One allowed token id per row (R,); -1 for rows with a negative index."""
        key = np.uint64(seed % 2**64)
        top_k, top_p, min_p = self.top_k or 0, self.top_p or 1.0, self.min_p or 0.0
        chosen_R = np.asarray(_draw(logits_RV, allowed_RV, key, index_R, step_R, self.temperature, top_k, top_p, min_p))
        stuck = np.flatnonzero((chosen_R < 0) & (index_R >= 0))
        if len(stuck):
            sample, step = index_R[stuck[0]], step_R[stuck[0]]
            raise ValueError(
                f"sample {sample}: the grammar allows no token at step {step}; it must keep every string completable"
            )
        return chosen_R


@njit(cache=True)
def _mix(x: np.uint64) -> np.uint64:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): every input bit reaches every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True)
def _row_key(seed: np.uint64, index: int, step: int) -> np.uint64:
    golden = np.uint64(0x9E3779B97F4A7C15)
    key = _mix(seed + golden)
    key = _mix(key ^ (np.uint64(index + 1) * golden))
    return _mix(key ^ (np.uint64(step + 1) * golden))


@njit(cache=True)
def _bits(row_key: np.uint64, token: int) -> np.uint64:
    return _mix(row_key + np.uint64(token + 1) * np.uint64(0x9E3779B97F4A7C15))


@njit(cache=True)
def _uniform(bits: np.uint64) -> float:
    return (float(bits >> np.uint64(11)) + 0.5) * 2.0**-53


@njit(cache=True)
def uniform(seed: np.uint64, index: int, step: int, token: int) -> float:
    """A number in (0, 1) for one token of one step of one sample."""
    return _uniform(_bits(_row_key(seed, index, step), token))


@njit(cache=True)
def _gumbel(bits: np.uint64) -> float:
    return -math.log(-math.log(_uniform(bits)))


@njit(cache=True)
def _gumbel_bound(bits: np.uint64) -> float:
    """No less than `_gumbel`, without logarithms: k leading ones mean 1 - u >= 2^-(k+1), and -log(-log u) <= -log(1 - u)."""
    ones = 1
    while ones < 53 and bits >> np.uint64(63):
        bits <<= np.uint64(1)
        ones += 1
    return 0.6931471805599454 * ones if ones < 53 else 40.0


@njit(cache=True)
def _threshold(scaled: NDArray[np.float64], top_k: int, top_p: float, min_p: float) -> float:
    """The smallest scaled logit that the filters keep."""
    ordered = np.sort(scaled)[::-1]
    keep = len(ordered)
    if top_k > 0:
        keep = min(keep, top_k)
    if top_p < 1.0:
        total = 0.0
        for n in range(keep):
            total += math.exp(ordered[n] - ordered[0])
        before = 0.0
        for n in range(keep):
            if before >= top_p * total:
                keep = n
                break
            before += math.exp(ordered[n] - ordered[0])
    least = ordered[keep - 1]
    if min_p > 0.0:
        least = max(least, ordered[0] + math.log(min_p))
    return least


@njit(cache=True)
def _draw(
    logits_RV: NDArray[np.float32],
    allowed_RV: NDArray[np.bool_],
    seed: np.uint64,
    index_R: NDArray[np.int64],
    step_R: NDArray[np.int64],
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
) -> NDArray[np.int64]:
    n_rows, n_tokens = logits_RV.shape
    chosen_R = np.full(n_rows, -1, dtype=np.int64)
    tokens, scaled = np.empty(n_tokens, dtype=np.int64), np.empty(n_tokens, dtype=np.float64)
    filtered = top_k > 0 or top_p < 1.0 or min_p > 0.0
    inverse = 1.0 / temperature if temperature > 0.0 else 1.0
    for row in range(n_rows):
        if index_R[row] < 0:
            continue
        count = 0
        for token in range(n_tokens):
            if allowed_RV[row, token]:
                tokens[count] = token
                scaled[count] = logits_RV[row, token] * inverse
                count += 1
        if count <= 1:
            chosen_R[row] = tokens[0] if count == 1 else -1
            continue
        least = _threshold(scaled[:count], top_k, top_p, min_p) if filtered and temperature > 0.0 else -np.inf
        likeliest = np.argmax(scaled[:count])
        if temperature == 0.0:
            chosen_R[row] = tokens[likeliest]
            continue
        key = _row_key(seed, index_R[row], step_R[row])
        best = scaled[likeliest] + _gumbel(_bits(key, tokens[likeliest]))
        chosen_R[row] = tokens[likeliest]
        for n in range(count):
            if scaled[n] < least:
                continue
            bits = _bits(key, tokens[n])
            if scaled[n] + _gumbel_bound(bits) > best:
                value = scaled[n] + _gumbel(bits)
                if value > best:
                    best = value
                    chosen_R[row] = tokens[n]
    return chosen_R
