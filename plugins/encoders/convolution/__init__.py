"""Tensor-product convolution over periodic neighbour pairs: one algebra, interchangeable kernels.

    out_i = sum over edges (i <- j) of  w(d_ij) * (x_j  tensor product  Y(r_ij))

- `paths.py`: which irreps couple to which (the algebra, shared by all kernels);
- `pairs.py`: each neighbour pair once, with its vector, distance and spherical harmonics;
- `reference.py`: e3nn's tensor product in torch_geometric's message passing; always available, the others must equal it;
- `channel_last.py`: the same sums written out in plain torch, any device;
- `jit.py`: gather, product and scatter in one pass over the pairs, compiled by numba; CPU.

A kernel is a module with `forward(x_NX, y_PS, w_QW, pairs) -> (N, O)`, differentiable to any order in x, y and w.
"""

from crystalfw.plugins.encoders.convolution.choose import KERNELS, make_kernel
from crystalfw.plugins.encoders.convolution.pairs import Geometry, Pairs
from crystalfw.plugins.encoders.convolution.paths import Layout, Paths

__all__ = ["KERNELS", "Geometry", "Layout", "Pairs", "Paths", "make_kernel"]
