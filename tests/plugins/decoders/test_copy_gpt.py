"""The copying GPT: agreement counts what it says, the mixture is a distribution, copying is learned at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.batch import CrystalBatch, Memory, TokenBatch, TrainBatch
from crystalfw.core.interfaces import Ports
from crystalfw.core.records import Vocabulary
from crystalfw.plugins.conditioning.additive import Additive
from crystalfw.plugins.conditioning.cross_attention import CrossAttention
from crystalfw.plugins.conditioning.prefix import Prefix
from crystalfw.plugins.decoders.copy_gpt import CopyGPT, agreement
from crystalfw.plugins.decoders.cross_attention_gpt import CrossAttentionGPT

VOCABULARY = Vocabulary(tuple(f"t{i}" for i in range(12)))
BEGIN, END = VOCABULARY.begin, VOCABULARY.end
WHOLE = 1 << 16


def memory_of(rows, width=8):
    """A memory that spells strings: ids as they are, tokens that mean nothing."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([list(row) + [-1] * (longest - len(row)) for row in rows])
    tokens = torch.randn(*ids.shape, width, generator=torch.Generator().manual_seed(4))
    return Memory(tokens, ids >= -1, tokens.mean(1), ids)


def make(decoder=CopyGPT, seed=0, **options):
    torch.manual_seed(seed)
    return decoder(
        decoder.Config(dim=16, n_heads=2, n_layers=1, max_length=24, **options), encoder_dim=8, vocabulary=VOCABULARY
    )


def test_agreement_counts_tokens_and_tells_whole_strings():
    memory = torch.tensor([[BEGIN, 5, 6, 7, END, BEGIN, 6, 6, 7, END]])
    found = agreement(torch.tensor([[BEGIN, 5, 6]]), memory, BEGIN)[0]
    assert found[0].tolist() == [0, WHOLE + 1, 0, 0, 0, 0, WHOLE + 1, 0, 0, 0]
    assert found[1].tolist() == [0, 0, WHOLE + 2, 0, 0, 0, 0, 0, 0, 0]
    assert found[2].tolist() == [0, 0, 0, WHOLE + 3, 0, 0, 0, 1, 1, 0]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(3, 5), min_size=1, max_size=8), st.lists(st.integers(-1, 5), min_size=1, max_size=12), st.data())
def test_agreement_is_what_a_search_by_hand_finds_also_in_pieces(string, memory, data):
    string = [BEGIN, *string]
    found = agreement(torch.tensor([string]), torch.tensor([memory]), BEGIN)[0]
    for t in range(len(string)):
        for m in range(len(memory)):
            longest = 0
            while longest <= min(t, m - 1) and string[t - longest] == memory[m - 1 - longest]:
                longest += 1
            assert int(found[t, m]) % WHOLE == longest
            assert bool(found[t, m] >= WHOLE) == (longest == t + 1)
    cut = data.draw(st.integers(1, len(string)))
    first = agreement(torch.tensor([string[:cut]]), torch.tensor([memory]), BEGIN)
    if cut < len(string):
        rest = agreement(torch.tensor([string[cut:]]), torch.tensor([memory]), BEGIN, first[:, -1])
        assert torch.equal(torch.cat([first, rest], dim=1)[0], found)


@pytest.mark.parametrize("strategy", [None, Additive, Prefix, CrossAttention])
def test_it_says_a_distribution_and_the_cache_changes_nothing(strategy):
    decoder = make().eval()
    conditioning = strategy and strategy(strategy.Config(), encoder_dim=8, decoder_dim=16, n_layers=1).eval()
    memory = memory_of([[BEGIN, 5, 6, 7, END], [BEGIN, 8, END, BEGIN, 9, 9, END]])
    ids = torch.tensor([[BEGIN, 5, 6, 7], [BEGIN, 9, 9, 4]])
    with torch.inference_mode():
        ports = Ports.bind(conditioning, memory)
        full = decoder(ids, ports)
        assert torch.allclose(full.exp().sum(-1), torch.ones(2, 4), atol=1e-5)
        cache = decoder.new_cache(2, 8, ports)
        steps = torch.cat([decoder(column, ports, cache) for column in ids.split(1, dim=1)], dim=1)
        assert torch.allclose(steps, full, atol=1e-4)
        plain = decoder(ids, Ports.bind(conditioning, Memory(memory.tokens, memory.mask, memory.pooled)))
    assert not torch.allclose(plain.log_softmax(-1), full, atol=1e-2)


def test_a_memory_may_become_wider_while_strings_are_written():
    decoder = make().eval()
    memory = memory_of([[BEGIN, 5, 6, 7, END]])
    ids = torch.tensor([[BEGIN, 5, 6]])
    with torch.inference_mode():
        cache = decoder.new_cache(1, 8, Ports.bind(None, memory))
        decoder(ids[:, :2], Ports.bind(None, memory), cache)
        last = decoder(ids[:, 2:], Ports.bind(None, memory.padded(9)), cache)
        assert torch.allclose(last, decoder(ids, Ports.bind(None, memory))[:, 2:], atol=1e-5)


def batches(count, size=16, length=8):
    """Random strings, and a memory whose second string is the right one."""
    generator = torch.Generator().manual_seed(7)
    for _ in range(count):
        string, other = torch.randint(3, len(VOCABULARY), (2, size, length), generator=generator)
        begin, end = torch.full((size, 1), BEGIN), torch.full((size, 1), END)
        ids = torch.cat([begin, string, end], dim=1)
        spelled = torch.cat([begin, other, end, ids], dim=1)
        memory = memory_of(spelled.tolist())
        crystals = CrystalBatch(*(torch.zeros(size) for _ in range(5)))
        yield TrainBatch(crystals, TokenBatch(ids, torch.full((size,), length + 2)), torch.arange(size)), memory


def losses(decoder, steps):
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=5e-3)
    found = []
    for batch, memory in batches(steps):
        loss = decoder.loss(batch, memory, Ports.bind(None, memory))
        optimiser.zero_grad()
        (loss.total / loss.weight).backward()
        optimiser.step()
        found.append((loss.total / loss.weight).item())
    return sum(found[-5:]) / 5


def test_copying_is_learned_in_a_few_steps_where_the_plain_gpt_guesses():
    # nine letters: guessing costs ln 9 on each of eight tokens; the copy's first letter stays open between two strings
    assert losses(make(CrossAttentionGPT), 60) > 1.7
    assert losses(make(), 60) < 0.7
