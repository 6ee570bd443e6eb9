"""The conditioning strategies by themselves: ports, widths, options; with a decoder they are tested beside it."""

import pytest
import torch

from crystalfw.core.batch import Memory
from crystalfw.core.errors import PluginError
from crystalfw.core.interfaces import NoOptions, Ports, select_rows
from crystalfw.plugins.conditioning.additive import Additive
from crystalfw.plugins.conditioning.cross_attention import CrossAttention
from crystalfw.plugins.conditioning.none import NoConditioning
from crystalfw.plugins.conditioning.prefix import Prefix

DIMENSIONS = {"encoder_dim": 16, "decoder_dim": 32, "n_layers": 2}
STRATEGIES = {"none": NoConditioning, "input": Additive, "prefix": Prefix, "layer": CrossAttention}


@pytest.fixture
def memory():
    generator = torch.Generator().manual_seed(0)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    return Memory(torch.randn(2, 3, 16, generator=generator), mask, torch.randn(2, 16, generator=generator))


@pytest.mark.parametrize(("port", "strategy"), STRATEGIES.items())
def test_rows_can_be_picked_from_what_is_prepared(port, strategy, memory):
    config = strategy.Config() if strategy.Config is not NoOptions else NoOptions()
    module = strategy(config, **DIMENSIONS).eval()
    assert module.port == port
    prepared = module.prepare(memory)
    h = torch.randn(2, 4, 32)
    row = torch.tensor([1])
    with torch.no_grad():
        expected = module(h, prepared, 1)[1:]
        torch.testing.assert_close(module(h[1:], select_rows(prepared, row), 1), expected, atol=1e-6, rtol=1e-5)


def test_additive_scale(memory):
    module = Additive(Additive.Config(scale=2.0), **DIMENSIONS)
    h = torch.randn(2, 4, 32)
    expected = h + 2.0 * module.project(memory.pooled)[:, None]
    torch.testing.assert_close(Ports.bind(module, memory).input(h), expected)


def test_prefix_says_which_tokens_are_real(memory):
    ports = Ports.bind(Prefix(Prefix.Config(), **DIMENSIONS), memory)
    assert torch.equal(ports.prefix_mask(), memory.mask)
    assert ports.prefix(torch.zeros(2, 1, 32)).shape == (2, 3, 32)
    assert Ports.bind(Additive(Additive.Config(), **DIMENSIONS), memory).prefix_mask() is None


def test_cross_attention_over_one_token_is_a_constant(memory):
    """A softmax over one element is 1: with pooled memory every string token reads the same vector."""
    module = CrossAttention(CrossAttention.Config(), **DIMENSIONS)
    torch.nn.init.normal_(module.layers[0].out.weight)
    ports = Ports.bind(module, memory.only_pooled())
    h = torch.randn(2, 4, 32)
    residual = ports.layer(h, 0) - h
    torch.testing.assert_close(residual, residual[:, :1].expand(-1, 4, -1), atol=1e-5, rtol=1e-5)


def test_cross_attention_names_impossible_options():
    with pytest.raises(PluginError, match="n_heads 5 must divide"):
        CrossAttention(CrossAttention.Config(n_heads=5), **DIMENSIONS)
    with pytest.raises(PluginError, match="must be one of"):
        CrossAttention(CrossAttention.Config(attention="flash"), **DIMENSIONS)
