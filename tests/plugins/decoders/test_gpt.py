"""Both GPTs: causal, the cache changes nothing, padding changes nothing, every port does what the contract says."""

import pytest
import torch

from crystalfw.core.batch import CrystalBatch, Memory, TokenBatch, TrainBatch
from crystalfw.core.errors import DataError, PluginError
from crystalfw.core.interfaces import Ports
from crystalfw.core.records import Vocabulary
from crystalfw.plugins.conditioning.additive import Additive
from crystalfw.plugins.conditioning.cross_attention import CrossAttention
from crystalfw.plugins.conditioning.prefix import Prefix
from crystalfw.plugins.decoders.cache.ragged import RaggedCache
from crystalfw.plugins.decoders.cache.static import KVCache
from crystalfw.plugins.decoders.cross_attention_gpt import CrossAttentionGPT
from crystalfw.plugins.decoders.gpt import GPT

VOCABULARY = Vocabulary(tuple(f"t{i}" for i in range(40)))
STRATEGIES = {"none": None, "additive": Additive, "prefix": Prefix, "cross_attention": CrossAttention}


def make_memory(size=4, tokens=5):
    generator = torch.Generator().manual_seed(3)
    mask = torch.tensor([[1, 1, 1, 0, 1], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 1, 0]]).bool()[:size, :tokens]
    return Memory(torch.randn(size, tokens, 16, generator=generator), mask, torch.randn(size, 16, generator=generator))


def make(decoder=CrossAttentionGPT, strategy=None, **options):
    torch.manual_seed(0)
    config = decoder.Config(**({"dim": 32, "n_layers": 2, "max_length": 24} | options))
    module = decoder(config, encoder_dim=16, vocabulary=VOCABULARY).eval()
    conditioning = strategy and strategy(strategy.Config(), encoder_dim=16, decoder_dim=32, n_layers=2).eval()
    for part in (module, conditioning):
        for weight in part.parameters() if part is not None else ():
            weight.data += 0.2 * torch.randn_like(weight)
    return module, conditioning


IDS = torch.randint(3, 40, (4, 12), generator=torch.Generator().manual_seed(5))

every_combination = pytest.mark.parametrize(
    ("strategy", "options"),
    [
        (strategy, options)
        for strategy in STRATEGIES.values()
        for options in ({}, {"positions": "rotary", "tied": False}, {"attention": "sdpa"})
    ],
)


@pytest.fixture(params=["compiled", "plain"])
def any_cache(request):
    """Inference mode on a CPU takes the compiled cache; without it, as on other devices, the plain one is taken."""
    with torch.inference_mode() if request.param == "compiled" else torch.no_grad():
        yield {"compiled": RaggedCache, "plain": KVCache}[request.param]


@every_combination
def test_cached_logits_are_the_uncached_ones(any_cache, strategy, options):
    decoder, conditioning = make(strategy=strategy, **options)
    ports = Ports.bind(conditioning, make_memory())
    expected = decoder(IDS, ports)
    cache = decoder.new_cache(4, 12, ports)
    assert type(cache) is any_cache
    steps = [decoder(IDS[:, :4], ports, cache)] + [decoder(IDS[:, t : t + 1], ports, cache) for t in range(4, 12)]
    torch.testing.assert_close(torch.cat(steps, 1), expected, atol=1e-5, rtol=1e-5)
    assert cache.positions.tolist() == [12] * 4


@pytest.mark.parametrize("strategy", STRATEGIES.values())
def test_cache_rows_leave_enter_and_double(any_cache, strategy):
    decoder, conditioning = make(strategy=strategy)
    ports = Ports.bind(conditioning, make_memory())
    expected = decoder(IDS, ports)
    cache = decoder.new_cache(4, 12, ports)
    decoder(IDS[:, :6], ports, cache)
    # row 1 begins again while the others go on, each at its own length
    cache.reset(torch.tensor([1]))
    now = torch.tensor([6, 0, 6, 6])
    for _ in range(3):
        logits = decoder(IDS[torch.arange(4), now][:, None], ports, cache)[:, 0]
        torch.testing.assert_close(logits, expected[torch.arange(4), now], atol=1e-5, rtol=1e-5)
        now += 1
    index = torch.tensor([3, 1, 1])
    cache.select(index)
    ports, now, ids = ports.select(index), now[index], IDS[index].clone()
    ids[2, 4:] = IDS[0, 4:]
    expected = decoder(ids, ports)
    for _ in range(3):
        logits = decoder(ids[torch.arange(3), now][:, None], ports, cache)[:, 0]
        torch.testing.assert_close(logits, expected[torch.arange(3), now], atol=1e-5, rtol=1e-5)
        now += 1


@torch.inference_mode()
def test_a_row_of_the_compiled_cache_depends_on_no_other_row():
    """The cache alone: how a matrix product rounds may depend on the number of its rows, which no code of ours decides."""
    decoder, _ = make(dim=64, n_heads=4, max_length=64)
    qkv = torch.randn(32, 40, 3, 4, 16, generator=torch.Generator().manual_seed(1))
    results = []
    for rows in (8, 32):
        cache, read = decoder.new_cache(rows, 40, Ports(None, None)), []
        for t in range(40):
            cache.begin(1)
            read.append(cache.attend(0, qkv[:rows, t : t + 1]))
        results.append(torch.cat(read, 1)[:8])
    assert torch.equal(*results)


@every_combination
@torch.inference_mode()
def test_causal_and_independent_of_padding(strategy, options):
    decoder, conditioning = make(strategy=strategy, **options)
    ports = Ports.bind(conditioning, make_memory())
    expected = decoder(IDS, ports)
    changed = IDS.clone()
    changed[:, 7:] = 0
    torch.testing.assert_close(decoder(changed, ports)[:, :7], expected[:, :7], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(decoder(IDS[:, :7], ports), expected[:, :7], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("strategy", [Prefix, CrossAttention])
@torch.inference_mode()
def test_masked_memory_is_not_seen_and_order_does_not_matter(strategy):
    decoder, conditioning = make(strategy=strategy)
    memory = make_memory()
    expected = decoder(IDS, Ports.bind(conditioning, memory))
    garbage = memory.tokens.masked_fill(~memory.mask[..., None], float("nan"))
    again = decoder(IDS, Ports.bind(conditioning, Memory(garbage, memory.mask, memory.pooled)))
    torch.testing.assert_close(again, expected)
    order = torch.tensor([2, 0, 4, 3, 1])
    permuted = Memory(memory.tokens[:, order], memory.mask[:, order], memory.pooled)
    torch.testing.assert_close(decoder(IDS, Ports.bind(conditioning, permuted)), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_additive_is_token_plus_position_plus_projected_embedding():
    decoder, conditioning = make(GPT, Additive)
    memory = make_memory()
    seen = []
    decoder.blocks[0].register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0]))
    decoder(IDS, Ports.bind(conditioning, memory))
    projected = conditioning.project(memory.pooled)
    expected = decoder.token.weight[IDS] + decoder.position.weight[:12] + projected[:, None]
    torch.testing.assert_close(seen[0], expected, atol=0, rtol=0)


@torch.inference_mode()
def test_cross_attention_starts_without_influence_and_learns():
    decoder, _ = make()
    fresh = CrossAttention(CrossAttention.Config(), encoder_dim=16, decoder_dim=32, n_layers=2)
    assert torch.equal(decoder(IDS, Ports.bind(fresh, make_memory())), decoder(IDS, Ports.bind(None, make_memory())))
    decoder, conditioning = make(strategy=CrossAttention)
    memory = make_memory()
    other = Memory(memory.tokens.flip(0), memory.mask, memory.pooled)
    difference = decoder(IDS, Ports.bind(conditioning, memory)) - decoder(IDS, Ports.bind(conditioning, other))
    assert difference.abs().amax((1, 2)).min() > 1e-3


def test_loss_counts_real_tokens_only():
    decoder, _ = make()
    memory = make_memory()
    lengths = torch.tensor([12, 3, 7, 5])
    batch = TrainBatch(empty_crystals(4), TokenBatch(IDS, lengths), torch.arange(4))
    whole = decoder.loss(batch, memory, Ports(None, None))
    assert whole.weight == (lengths - 1).sum()
    parts = 0.0
    for row, length in enumerate(lengths.tolist()):
        one = TrainBatch(empty_crystals(1), TokenBatch(IDS[row : row + 1, :length], lengths[row : row + 1]), torch.arange(1))
        parts += decoder.loss(one, memory, Ports(None, None)).total.item()
    assert whole.total.item() == pytest.approx(parts, rel=1e-5)


def empty_crystals(size):
    numbers = torch.ones(size, dtype=torch.int64)
    return CrystalBatch(torch.eye(3).repeat(size, 1, 1), torch.zeros(size, 3), numbers, torch.arange(size), numbers)


@pytest.mark.parametrize("strategy", STRATEGIES.values())
def test_activation_checkpoints_change_no_gradient(strategy):
    gradients = []
    for checkpointed in (False, True):
        decoder, conditioning = make(strategy=strategy, checkpoint_activations=checkpointed)
        decoder.train()
        decoder(IDS, Ports.bind(conditioning, make_memory())).square().mean().backward()
        gradients.append([weight.grad for weight in decoder.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


def test_every_parameter_learns():
    for strategy in STRATEGIES.values():
        decoder, conditioning = make(strategy=strategy, tied=False)
        decoder(IDS, Ports.bind(conditioning, make_memory())).square().mean().backward()
        modules = [decoder] if conditioning is None else [decoder, conditioning]
        assert all(weight.grad is not None for module in modules for weight in module.parameters())


def test_plain_gpt_has_no_port_in_the_layers():
    assert GPT.ports == {"none", "input", "prefix"}
    assert CrossAttentionGPT.ports == GPT.ports | {"layer"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_heads": 5}, "n_heads 5 must divide dim 32"),
        ({"positions": "alibi"}, "learned or rotary"),
        ({"attention": "flash"}, "must be one of"),
        ({"positions": "rotary", "n_heads": 32}, "even head width"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(PluginError, match=message):
        make(**options)


def test_a_string_beyond_the_limit_is_an_error():
    decoder, _ = make(max_length=8)
    with pytest.raises(DataError, match="max_length is 8"):
        decoder(IDS, Ports(None, None))
