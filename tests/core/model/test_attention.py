"""Attention: the implementations agree, also where causal attention is computed in pieces."""

import pytest
import torch

from crystalfw.core.model.attention import attend, attend_causal


@pytest.mark.parametrize("length", [7, 192, 193, 256, 300])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_causal_attention_is_masked_attention_at_any_length(length, dtype):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, 2, 2, length, 8, generator=generator, dtype=torch.float64).to(dtype)
    upstream = torch.randn(2, 2, length, 8, generator=generator, dtype=torch.float64).to(dtype)
    allowed = torch.ones(length, length, dtype=torch.bool).tril()
    found = []
    for function in (lambda q, k, v: attend_causal(q, k, v, "bmm"), lambda q, k, v: attend(q, k, v, allowed, "bmm")):
        leaf = inputs.clone().requires_grad_()
        out = function(*leaf)
        out.backward(upstream)
        found.append((out.detach(), leaf.grad))
    bound = 1e-12 if dtype == torch.float64 else 3e-2
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, atol=bound, rtol=bound)
