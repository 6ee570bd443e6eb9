"""The loops of the fused kernel, compiled by numba: gather, tensor product and scatter in one pass over the pairs.

Arrays are flat. Row n of features starts at n * x_dim, of messages at n * o_dim, pair p's weights at row[p] * w_dim,
its harmonics at p * s_dim. `table` holds a row per path: degree l_in, K, x_start, o_start, o_step, w_start, a_start,
channels, where K = 2 l_out + 1, o_step the channels of the message block, a_start the place of the path's matrix A (K, D)
among the pair's matrices. `signs` (paths, 2) is 1 and (-1)^l_sh: what the harmonics are multiplied by in either direction.
`a_index, y_index, value` list the nonzero couplings: A[a_index] += value * y[y_index].

Two things make LLVM turn the inner loops into vector instructions: the channels per degree are constants of the compiled
function (one compilation per choice of multiplicities, cached on disk), and arrays are declared not to overlap.
Unsigned indices spare numba's check for negative ones. Numba functions carry no annotations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba.core.compiler import CompilerBase, DefaultPassBuilder

from crystalfw.core.system.compiled import njit

MAX_DEGREE = 3
"""Highest l of the features that the loops are written out for."""
U = np.uintp
Loop = Callable[..., None]


class _NoOverlap(CompilerBase):
    """numba's own pipeline, with array arguments declared not to overlap (LLVM's noalias)."""

    def define_pipelines(self) -> list[Any]:
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


# sums may be reordered; NaN and infinity keep their meaning, so that a diverging run is seen
_FAST = {"contract", "reassoc", "nsz"}
_compiled = njit(fastmath=_FAST, nogil=True, cache=True, error_model="numpy", pipeline_class=_NoOverlap)
_inlined = njit(fastmath=_FAST, inline="always", error_model="numpy")


@_inlined
def _send(n, D, M, K, a, a0, x, x0, w, w0, sign, out, o0, step):  # type: ignore[no-untyped-def]
    """For v below n: out[k, v] += sign * w[v] * sum_d A[k, d] x[d, v]."""
    for k in range(U(K)):
        for v in range(n):
            total = a[a0 + k * U(D)] * x[x0 + v]
            for d in range(U(1), U(D)):
                total += a[a0 + k * U(D) + d] * x[x0 + d * U(M) + v]
            out[o0 + k * step + v] += sign * w[w0 + v] * total


@_inlined
def _return(n, D, M, K, a, a0, x, x0, w, w0, sign, g, g0, step, gx, gw):  # type: ignore[no-untyped-def]
    """For v below n: gx[d, v] += sign * w[v] * sum_k A[k, d] g[k, v]; gw[v] += sign * sum_k g[k, v] * sum_d A[k, d] x[d, v]."""
    for k in range(U(K)):
        for v in range(n):
            incoming = sign * g[g0 + k * step + v]
            weighted = w[w0 + v] * incoming
            total = a[a0 + k * U(D)] * x[x0 + v]
            gx[x0 + v] += a[a0 + k * U(D)] * weighted
            for d in range(U(1), U(D)):
                total += a[a0 + k * U(D) + d] * x[x0 + d * U(M) + v]
                gx[x0 + d * U(M) + v] += a[a0 + k * U(D) + d] * weighted
            gw[w0 + v] += incoming * total


@_inlined
def _couple(n, D, M, K, a0, x, x0, w, w0, sign, g, g0, step, ga):  # type: ignore[no-untyped-def]
    """gA[k, d] += sign * sum_v w[v] g[k, v] x[d, v]."""
    for k in range(U(K)):
        for d in range(U(D)):
            total = x[x0] * U(0)
            for v in range(n):
                total += w[w0 + v] * g[g0 + k * step + v] * x[x0 + d * U(M) + v]
            ga[a0 + k * U(D) + d] += sign * total


def _fixed(least: int, channels: int, degree: int) -> bool:
    """True if a loop over the channels is fastest with its length compiled in."""
    return channels % 8 == 0 and channels * (2 * degree + 1) >= least


@cache
def make_loops(m0: int, m1: int, m2: int, m3: int) -> tuple[Loop, Loop, Loop]:
    """(forward, gradients, harmonics' gradient) for features with m0 ... m3 channels of degree 0 ... 3.

    Each works on pairs `low` to `high` and adds to its outputs.
    """
    return _make_forward(m0, m1, m2, m3), _make_gradients(m0, m1, m2, m3), _make_harmonics(m0, m1, m2, m3)


# A loop over few channels would be unrolled whole before it can be vectorised, unless its length is known only when it runs;
# the bounds below, 64 and 32, are measured (benchmarks/encoder.md).


def _make_forward(m0: int, m1: int, m2: int, m3: int) -> Loop:
    send0, send1, send2, send3 = (_fixed(64, m, degree) for degree, m in enumerate((m0, m1, m2, m3)))

    @_compiled
    def forward(x, y, w, first, second, row, low, high, dims, table, signs, a_index, y_index, value, a, out):  # type: ignore[no-untyped-def]
        x_dim, s_dim, w_dim, o_dim = dims
        for p in range(low, high):
            i, j = first[p], second[p]
            a[:] = 0
            for t in range(U(len(a_index))):
                a[a_index[t]] += value[t] * y[p * s_dim + y_index[t]]
            for r in range(U(len(table))):
                degree, K, step, a0 = table[r, 0], table[r, 1], table[r, 4], table[r, 6]
                n = table[r, 7]
                x0, w0, o0 = table[r, 2], row[p] * w_dim + table[r, 5], table[r, 3]
                for back in range(2):
                    to, by = (j, i) if back else (i, j)
                    xs, os, sign = by * x_dim + x0, to * o_dim + o0, signs[r, back]
                    if degree == U(0):
                        _send(U(m0) if send0 else n, 1, m0, K, a, a0, x, xs, w, w0, sign, out, os, step)
                    elif degree == U(1):
                        _send(U(m1) if send1 else n, 3, m1, K, a, a0, x, xs, w, w0, sign, out, os, step)
                    elif degree == U(2):
                        _send(U(m2) if send2 else n, 5, m2, K, a, a0, x, xs, w, w0, sign, out, os, step)
                    else:
                        _send(U(m3) if send3 else n, 7, m3, K, a, a0, x, xs, w, w0, sign, out, os, step)

    return forward


def _make_gradients(m0: int, m1: int, m2: int, m3: int) -> Loop:
    back0, back1, back2, back3 = (_fixed(32, m, degree) for degree, m in enumerate((m0, m1, m2, m3)))

    @_compiled
    def gradients(x, y, w, g, first, second, row, low, high, dims, table, signs, a_index, y_index, value, a, gx, gw):  # type: ignore[no-untyped-def]
        x_dim, s_dim, w_dim, o_dim = dims
        for p in range(low, high):
            i, j = first[p], second[p]
            a[:] = 0
            for t in range(U(len(a_index))):
                a[a_index[t]] += value[t] * y[p * s_dim + y_index[t]]
            for r in range(U(len(table))):
                degree, K, step, a0 = table[r, 0], table[r, 1], table[r, 4], table[r, 6]
                n = table[r, 7]
                x0, w0, o0 = table[r, 2], row[p] * w_dim + table[r, 5], table[r, 3]
                for back in range(2):
                    to, by = (j, i) if back else (i, j)
                    xs, os, sign = by * x_dim + x0, to * o_dim + o0, signs[r, back]
                    if degree == U(0):
                        _return(U(m0) if back0 else n, 1, m0, K, a, a0, x, xs, w, w0, sign, g, os, step, gx, gw)
                    elif degree == U(1):
                        _return(U(m1) if back1 else n, 3, m1, K, a, a0, x, xs, w, w0, sign, g, os, step, gx, gw)
                    elif degree == U(2):
                        _return(U(m2) if back2 else n, 5, m2, K, a, a0, x, xs, w, w0, sign, g, os, step, gx, gw)
                    else:
                        _return(U(m3) if back3 else n, 7, m3, K, a, a0, x, xs, w, w0, sign, g, os, step, gx, gw)

    return gradients


def _make_harmonics(m0: int, m1: int, m2: int, m3: int) -> Loop:
    @_compiled
    def harmonics(x, w, g, first, second, row, low, high, dims, table, signs, a_index, y_index, value, ga, gy):  # type: ignore[no-untyped-def]
        x_dim, s_dim, w_dim, o_dim = dims
        for p in range(low, high):
            i, j = first[p], second[p]
            ga[:] = 0
            for r in range(U(len(table))):
                degree, K, step, a0 = table[r, 0], table[r, 1], table[r, 4], table[r, 6]
                n = table[r, 7]
                x0, w0, o0 = table[r, 2], row[p] * w_dim + table[r, 5], table[r, 3]
                for back in range(2):
                    to, by = (j, i) if back else (i, j)
                    xs, os, sign = by * x_dim + x0, to * o_dim + o0, signs[r, back]
                    if degree == U(0):
                        _couple(n, 1, m0, K, a0, x, xs, w, w0, sign, g, os, step, ga)
                    elif degree == U(1):
                        _couple(n, 3, m1, K, a0, x, xs, w, w0, sign, g, os, step, ga)
                    elif degree == U(2):
                        _couple(n, 5, m2, K, a0, x, xs, w, w0, sign, g, os, step, ga)
                    else:
                        _couple(n, 7, m3, K, a0, x, xs, w, w0, sign, g, os, step, ga)
            for t in range(U(len(a_index))):
                gy[p * s_dim + y_index[t]] += value[t] * ga[a_index[t]]

    return harmonics
