"""Every kernel equals e3nn's tensor product in torch_geometric's message passing: values, gradients, second derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from e3nn import o3

from crystalfw.core import Crystal, CrystalBatch, PluginError
from crystalfw.core.batch import neighbour_edges
from crystalfw.core.testing.crystals import F64, make, random_crystal
from crystalfw.plugins.encoders.convolution import Geometry, Layout, Paths, make_kernel

FEATURES = {"O3": ("8x0e+6x1o+4x2e", True), "SO3": ("8x0e+6x1e+4x2e", False), "l=3": ("8x0e+6x1o+4x2e+2x3o", True)}
BOUND = {torch.float64: 1e-12, torch.float32: 1e-5}
Tensors = tuple[torch.Tensor, ...]


def problem(irreps: str, parity: bool, dtype: torch.dtype) -> tuple[Paths, Geometry, Tensors]:
    """Paths, three small crystals' pairs, and random x, y, w that require gradients."""
    features = o3.Irreps(irreps)
    paths = Paths(features, features, features.lmax, parity=parity)
    batch = CrystalBatch.from_crystals([random_crystal(seed, n) for seed, n in ((1, 3), (2, 1), (3, 2))], F64)
    geometry = Geometry.of(batch, neighbour_edges(batch, 3.5), 3.5)
    generator = torch.Generator().manual_seed(0)
    sizes = [(6, paths.source.dim), (len(geometry.distances), paths.weight_dim)]
    x, w = (torch.randn(size, dtype=F64, generator=generator).to(dtype).requires_grad_() for size in sizes)
    y = geometry.harmonics(paths.lmax).to(dtype).requires_grad_()
    return paths, geometry, (x, y, w)


def derivatives(name: str, paths: Paths, geometry: Geometry, inputs: Tensors) -> list[torch.Tensor]:
    """Messages, their gradients, and the gradients of those gradients."""
    out = make_kernel(name, paths)(*inputs, geometry.pairs)
    generator = torch.Generator().manual_seed(1)
    g = torch.randn(out.shape, dtype=F64, generator=generator).to(out).requires_grad_()
    first = torch.autograd.grad(out, inputs, g, create_graph=True)
    probes = [torch.randn(t.shape, dtype=F64, generator=generator).to(t) for t in first]
    second = torch.autograd.grad(sum((t * v).sum() for t, v in zip(first, probes, strict=True)), (*inputs, g))
    return [t.detach() for t in (out, *first, *second)]


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("features", list(FEATURES))
@pytest.mark.parametrize("name", ["torch", "jit", "auto"])
def test_equals_e3nn_forward_backward_and_double_backward(name: str, features: str, dtype: torch.dtype) -> None:
    paths, geometry, inputs = problem(*FEATURES[features], dtype)
    expected, found = (derivatives(kernel, paths, geometry, inputs) for kernel in ("e3nn", name))
    assert max(relative(f, e) for f, e in zip(found, expected, strict=True)) < BOUND[dtype]


@pytest.mark.parametrize("name", ["torch", "jit"])
def test_derivatives_agree_with_finite_differences(name: str) -> None:
    paths, geometry, inputs = problem("8x0e+6x1o+4x2e", True, F64)
    kernel = make_kernel(name, paths)
    assert torch.autograd.gradcheck(lambda *t: kernel(*t, geometry.pairs), inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda *t: kernel(*t, geometry.pairs), inputs, fast_mode=True)


@pytest.mark.parametrize("name", ["e3nn", "torch", "jit"])
def test_forces_and_their_gradients_flow_to_positions(name: str) -> None:
    encoder = make(kernel=name, multiplicities=(8, 6, 4), dim=8, radial_hidden=8, cutoff=3.5).double()
    batch = CrystalBatch.from_crystals([random_crystal(5, 3)], F64).with_edges(3.5)
    batch.frac_coords.requires_grad_()
    forces = torch.autograd.grad(encoder(batch).pooled.sum(), batch.frac_coords, create_graph=True)[0]
    weights = torch.autograd.grad(forces.square().sum(), list(encoder.layers.parameters()), allow_unused=True)
    step = torch.zeros_like(forces)
    step[1, 2] = 1e-5
    with torch.no_grad():
        ends = []
        for sign in (1, -1):
            moved = CrystalBatch(
                batch.lattice, batch.frac_coords + sign * step, batch.numbers, batch.crystal_index, batch.n_atoms
            )
            ends.append(encoder(moved).pooled.sum())
    assert abs((ends[0] - ends[1]) / 2e-5 - forces[1, 2].detach()) < 1e-7
    assert sum(float(weight.abs().sum()) for weight in weights if weight is not None) > 0


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_change_a_bit(threads: int) -> None:
    encoder = make(kernel="jit", multiplicities=(8, 6, 4), cutoff=7.0)
    batch = CrystalBatch.from_crystals([random_crystal(seed, 4) for seed in range(12)]).with_edges(7.0)
    assert len(batch.edges.source) > 4000, "too few pairs: one thread would do all"
    results, before = [], torch.get_num_threads()
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            encoder.zero_grad()
            # float64 matmuls do not depend on threads here; the kernel must not either
            pooled = encoder.double()(batch.to(dtype=F64)).pooled
            pooled.sum().backward()
            results.append((pooled.detach(), encoder.layers[1].radial.weights[2].grad.clone()))
    finally:
        torch.set_num_threads(before)
    assert (results[0][0] - results[1][0]).abs().max() < 1e-14
    assert (results[0][1] - results[1][1]).abs().max() < 1e-12


def test_equal_distances_share_weights_in_single_precision() -> None:
    rocksalt = Crystal(
        lattice=np.eye(3) * 5.64,
        frac_coords=[[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5] * 3],
        numbers=[11] * 4 + [17] * 4,
    )
    batch = CrystalBatch.from_crystals([rocksalt, random_crystal(1, 2), rocksalt])
    geometry = Geometry.of(batch, neighbour_edges(batch, 5.0), 5.0)
    shared = geometry.distinct()
    assert shared.pairs.row is not None
    spread = shared.distances[shared.pairs.row]
    assert (spread - geometry.distances).abs().max() < 1e-6
    rows = [
        shared.pairs.row[start:stop].unique()
        for start, stop in zip(*(geometry.pairs.splits[s] for s in (slice(-1), slice(1, None))), strict=True)
    ]
    assert len(rows[0]) == len(rows[2]) == 3, "rocksalt has three shells within 5 angstrom"
    assert len(torch.cat(rows).unique()) == sum(len(row) for row in rows), "crystals share a row"


@pytest.mark.parametrize("name", ["torch", "jit", "e3nn"])
def test_single_precision_encoders_agree(name: str) -> None:
    batch = CrystalBatch.from_crystals([random_crystal(seed, n) for seed, n in ((1, 3), (2, 1), (3, 4))])
    options = {"multiplicities": (8, 6, 4), "cutoff": 4.0}
    found = make(kernel=name, **options)(batch)
    exact = make(kernel="e3nn", **options).double()(batch.to(dtype=F64))
    assert relative(found.tokens.detach().double(), exact.tokens.detach()) < 1e-5
    assert relative(found.pooled.detach().double(), exact.pooled.detach()) < 1e-5


def test_layouts_go_both_ways() -> None:
    layout = Layout(o3.Irreps("3x0e+2x1o+1x2e"))
    x = torch.randn(4, layout.dim)
    assert torch.equal(layout.from_e3nn(layout.to_e3nn(x)), x)
    assert torch.equal(layout.blocks[1].take(x)[:, 2, 1], layout.to_e3nn(x)[:, 3 + 3 + 2])


def test_a_kernel_that_cannot_run_says_why() -> None:
    features = o3.Irreps("2x0e+2x4e")
    paths = Paths(features, features, 4, parity=True)
    with pytest.raises(PluginError, match="'jit' needs numba and degrees of at most 3"):
        make_kernel("jit", paths)
    assert make_kernel("auto", paths).on_cpu is None
    with pytest.raises(PluginError, match="none is called 'fast'; there are auto"):
        make_kernel("fast", paths)
