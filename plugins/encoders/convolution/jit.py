"""The fused kernel: one pass over the pairs, compiled by numba, differentiable to any order.

The convolution is linear in features x, harmonics y and weights w each. With an incoming gradient g it is one number,
L(x, y, w, g), linear in all four; every first derivative is one of L's four partial derivatives, and every second
derivative again such a one with other arguments. So two autograd functions that call each other suffice.
Shapes: N atoms, P pairs, X features, S harmonics, Q rows of W weights, O message columns.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from e3nn import o3
from torch import Tensor, nn

from crystalfw.plugins.encoders.convolution.loops import MAX_DEGREE, make_loops
from crystalfw.plugins.encoders.convolution.pairs import Pairs
from crystalfw.plugins.encoders.convolution.paths import Paths


def jit_can(irreps: o3.Irreps) -> bool:
    """True if the loops are written out for these features: degrees to 3, one irrep per degree."""
    degrees = [irrep.l for _, irrep in irreps]
    return max(degrees) <= MAX_DEGREE and len(set(degrees)) == len(degrees)


class Jit(nn.Module):
    """Equal to the reference kernel; CPU, float32 and float64 (lower precisions are computed in float32)."""

    def __init__(self, paths: Paths, irreps: o3.Irreps) -> None:
        """`irreps` are the features of the whole network: layers that take some of them share one compilation."""
        super().__init__()
        assert jit_can(irreps), f"the fused kernel is not written out for {irreps}"
        self.paths = paths
        self.channels = [0] * (MAX_DEGREE + 1)
        for channels, irrep in irreps:
            self.channels[irrep.l] = channels
        assert all(self.channels[block.irrep.l] == block.channels for block in paths.source.blocks)
        self._tables: dict[torch.dtype, tuple[Any, ...]] = {}

    @torch.compiler.disable
    def forward(self, x_NX: Tensor, y_PS: Tensor, w_QW: Tensor, pairs: Pairs) -> Tensor:
        """Messages (N, O)."""
        exact = x_NX.dtype if x_NX.dtype in (torch.float32, torch.float64) else torch.float32
        arguments = (tensor.to(exact).contiguous() for tensor in (x_NX, y_PS, w_QW))
        out_NO: Tensor = _Product.apply(*arguments, self, pairs)
        return out_NO.to(x_NX.dtype)

    def product(self, x_NX: Tensor, y_PS: Tensor, w_QW: Tensor, pairs: Pairs) -> Tensor:
        """The messages, without autograd."""
        forward, _, _ = make_loops(*self.channels)
        dims, *tables, couplings = self._constants(x_NX.dtype)
        out_NO = x_NX.new_zeros(pairs.n_atoms, self.paths.output.dim)
        inputs = [_flat(tensor) for tensor in (x_NX, y_PS, w_QW)]

        def run(low: int, high: int) -> None:
            scratch = np.empty(couplings, inputs[0].dtype)
            forward(*inputs, *_indices(pairs), np.uintp(low), np.uintp(high), dims, *tables, scratch, _flat(out_NO))

        _over_crystals(pairs.splits, run)
        return out_NO

    def gradients(
        self, x_NX: Tensor, y_PS: Tensor, w_QW: Tensor, g_NO: Tensor, pairs: Pairs, *, harmonics: bool
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Derivatives of sum(g * messages) by x, y (if requested) and w, without autograd."""
        _, gradients, of_harmonics = make_loops(*self.channels)
        dims, *tables, couplings = self._constants(x_NX.dtype)
        gx_NX, gw_QW = torch.zeros_like(x_NX), torch.zeros_like(w_QW)
        gy_PS = torch.zeros_like(y_PS) if harmonics else None
        x, y, w, g = (_flat(tensor) for tensor in (x_NX, y_PS, w_QW, g_NO))

        def run(low: int, high: int) -> None:
            span, scratch = (np.uintp(low), np.uintp(high)), np.empty(couplings, x.dtype)
            gradients(x, y, w, g, *_indices(pairs), *span, dims, *tables, scratch, _flat(gx_NX), _flat(gw_QW))
            if gy_PS is not None:
                of_harmonics(x, w, g, *_indices(pairs), *span, dims, *tables, scratch, _flat(gy_PS))

        _over_crystals(pairs.splits, run)
        return gx_NX, gy_PS, gw_QW

    def _constants(self, dtype: torch.dtype) -> tuple[Any, ...]:
        """Row lengths, tables of paths and couplings (see loops.py) and the length of all matrices A together."""
        if dtype not in self._tables:
            rows, signs, entries, start = [], [], [], 0
            for path in self.paths.paths:
                coefficients = path.coefficients()
                _, n_rows, n_columns = coefficients.shape
                for m, k, d in coefficients.abs().gt(1e-12).nonzero().tolist():
                    place = start + k * n_columns + d
                    entries.append((place, path.harmonic**2 + m, float(coefficients[m, k, d])))
                o_start, step = path.output.start + path.channel, path.output.channels
                rows.append(
                    (path.source.irrep.l, n_rows, path.source.start, o_start, step, path.weight, start, path.source.channels)
                )
                signs.append((1.0, (-1.0) ** path.harmonic))
                start += n_rows * n_columns
            a_index, y_index, value = zip(*entries, strict=True)
            real = torch.empty(0, dtype=dtype).numpy().dtype
            dims = (self.paths.source.dim, (self.paths.lmax + 1) ** 2, self.paths.weight_dim, self.paths.output.dim)
            self._tables[dtype] = (
                tuple(np.uintp(dim) for dim in dims),
                np.array(rows, np.uintp),
                np.array(signs, real),
                np.array(a_index, np.uintp),
                np.array(y_index, np.uintp),
                np.array(value, real),
                start,
            )
        return self._tables[dtype]


class _Product(torch.autograd.Function):
    """x, y, w -> messages."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, w: Tensor, kernel: Jit, pairs: Pairs) -> Tensor:
        ctx.save_for_backward(x, y, w)
        ctx.kernel, ctx.pairs = kernel, pairs
        return kernel.product(x, y, w, pairs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        gx, gy, gw = _Gradients.apply(*ctx.saved_tensors, g.contiguous(), ctx.kernel, ctx.pairs, ctx.needs_input_grad[1])
        return gx, gy, gw, None, None


class _Gradients(torch.autograd.Function):
    """x, y, w, g -> the derivatives of L(x, y, w, g) by x, y and w."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, w: Tensor, g: Tensor, kernel: Jit, pairs: Pairs, harmonics: bool) -> Any:
        ctx.save_for_backward(x, y, w, g)
        ctx.kernel, ctx.pairs, ctx.harmonics = kernel, pairs, harmonics
        return kernel.gradients(x, y, w, g, pairs, harmonics=harmonics)

    @staticmethod
    def backward(ctx: Any, vx: Tensor, vy: Tensor | None, vw: Tensor) -> Any:
        x, y, w, g = ctx.saved_tensors
        rest = (ctx.kernel, ctx.pairs)

        def derivatives(x: Tensor, y: Tensor, w: Tensor) -> Any:
            arguments = (tensor.contiguous() for tensor in (x, y, w))
            return _Gradients.apply(*arguments, g, *rest, ctx.harmonics)

        # the pulled-back number is L(vx, y, w, g) + L(x, vy, w, g) + L(x, y, vw, g); each argument's derivative of it
        _, y_of_vx, w_of_vx = derivatives(vx, y, w)
        x_of_vw, y_of_vw, _ = derivatives(x, y, vw)
        dg = _Product.apply(vx.contiguous(), y, w, *rest) + _Product.apply(x, y, vw.contiguous(), *rest)
        dx, dw, dy = x_of_vw, w_of_vx, None
        if ctx.harmonics and vy is not None:
            x_of_vy, _, w_of_vy = derivatives(x, vy, w)
            dg = dg + _Product.apply(x, vy.contiguous(), w, *rest)
            dx, dw, dy = dx + x_of_vy, dw + w_of_vy, y_of_vx + y_of_vw
        return dx, dy, dw, dg, None, None, None


def _flat(tensor: Tensor) -> Any:
    return tensor.detach().view(-1).numpy()


def _indices(pairs: Pairs) -> tuple[Any, ...]:
    row = pairs.row if pairs.row is not None else torch.arange(len(pairs.first))
    return tuple(index.numpy().view(np.uintp) for index in (pairs.first, pairs.second, row))


def _over_crystals(splits: Tensor, run: Callable[[int, int], None]) -> None:
    """Run over all pairs, on torch's number of threads. Threads share no crystal, so they write to no common atom, and
    the sums do not depend on their number."""
    threads, ends = torch.get_num_threads(), splits.numpy()
    total = int(ends[-1])
    if threads == 1 or total < 2000:
        run(0, total)
        return
    wanted = np.arange(1, threads) * total // threads
    cuts = [0, *np.unique(ends[np.searchsorted(ends, wanted)]).tolist(), total]
    list(_pool(threads, os.getpid()).map(run, cuts[:-1], cuts[1:]))


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    # keyed by process: a forked child inherits the pool but not its threads
    return ThreadPoolExecutor(threads, thread_name_prefix="convolution")
