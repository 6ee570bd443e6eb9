"""The sampling engine: the same samples whatever the batch, the law of the draw, guidance, constraints, limits."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from crystalfw.core.batch import Memory
from crystalfw.core.errors import ConditionError, DecodeError
from crystalfw.core.interfaces import GrammarState, NoOptions, Ports, Representation
from crystalfw.core.recipe.schema import SampleSection
from crystalfw.core.records import Decoded, Encoded, Vocabulary
from crystalfw.core.sample.beam import beam_search, likeliest_distinct
from crystalfw.core.sample.draw import TokenDraw, uniform
from crystalfw.core.sample.engine import SampledString, sample_strings
from crystalfw.plugins.conditioning.additive import Additive
from crystalfw.plugins.conditioning.cross_attention import CrossAttention
from crystalfw.plugins.conditioning.prefix import Prefix
from crystalfw.plugins.decoders.cross_attention_gpt import CrossAttentionGPT

TOKENS = ("<pad>", "<begin>", "<end>", "a", "b", "c", "d")
A, B = 3, 4


class BalancedGrammar(GrammarState):
    """As many a as b; c and d at will; `{"first": token}` fixes the first token."""

    def __init__(self, max_length):
        self.max_length = max_length
        self.surplus, self.length, self.ended = np.zeros(0, int), np.zeros(0, int), np.zeros(0, bool)
        self.first: list[int] = []

    def mask(self):
        allowed = np.zeros((len(self.ended), len(TOKENS)), dtype=bool)
        left = self.max_length - 2 - self.length
        allowed[:, A] = np.abs(self.surplus + 1) <= left - 1
        allowed[:, B] = np.abs(self.surplus - 1) <= left - 1
        allowed[:, 5:] = (np.abs(self.surplus) <= left - 1)[:, None]
        allowed[:, 2] = self.surplus == 0
        for row, first in enumerate(self.first):
            if first >= 0 and self.length[row] == 0:
                allowed[row] = np.arange(len(TOKENS)) == first
        allowed[self.ended] = np.arange(len(TOKENS)) == 0
        return allowed

    def advance(self, ids):
        assert self.mask()[np.arange(len(ids)), ids].all(), "a token that the mask forbids"
        self.surplus += (ids == A).astype(int) - (ids == B)
        self.ended |= ids == 2
        self.length += 1

    def select(self, rows):
        self.surplus, self.length, self.ended = self.surplus[rows], self.length[rows], self.ended[rows]
        self.first = [self.first[row] for row in rows]

    def append_rows(self, count, constraints=None):
        for constraint in constraints or [{}] * count:
            if constraint.get("first", "a") not in TOKENS[3:]:
                raise ConditionError(f"no word begins with {constraint['first']}")
            self.first.append(TOKENS.index(constraint["first"]) if "first" in constraint else -1)
        self.surplus = np.concatenate([self.surplus, np.zeros(count, int)])
        self.length = np.concatenate([self.length, np.zeros(count, int)])
        self.ended = np.concatenate([self.ended, np.zeros(count, bool)])


class Balanced(Representation):
    """Strings of single letters."""

    vocabulary = Vocabulary(TOKENS)

    def __init__(self, config: NoOptions | None = None) -> None:
        pass

    def encode(self, crystals: Sequence[Any]) -> list[Encoded]:
        return [Encoded(reason="not_a_crystal") for _ in crystals]

    def decode(self, strings: Sequence[str]) -> list[Decoded]:
        return [Decoded(reason="not_a_crystal") for _ in strings]

    def tokenize(self, string: str) -> list[int]:
        if not set(string) <= set("abcd"):
            raise DecodeError("parse", f"not a word: {string}")
        return [TOKENS.index(letter) for letter in string]

    def detokenize(self, ids: Sequence[int]) -> str:
        return "".join(TOKENS[token] for token in ids if token > 2)

    def grammar(self, rows: int, max_length: int, constraints: Sequence[Mapping[str, Any]] | None = None) -> GrammarState:
        state = BalancedGrammar(max_length)
        state.append_rows(rows, constraints)
        return state


N = 40
STRATEGIES = {"none": None, "additive": Additive, "prefix": Prefix, "cross_attention": CrossAttention}


def memory_for(indices):
    """One to five tokens a sample, a deterministic function of the index."""
    rows = [torch.Generator().manual_seed(int(index)) for index in indices]
    tokens = torch.stack([torch.randn(5, 16, generator=row) for row in rows])
    mask = torch.arange(5) <= torch.tensor([index % 5 for index in indices])[:, None]
    return Memory(tokens, mask, tokens.mean(1))


NULL = Memory(torch.zeros(1, 1, 16), torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 16))


@pytest.fixture(scope="module", params=STRATEGIES)
def model(request):
    torch.manual_seed(0)
    config = CrossAttentionGPT.Config(dim=32, n_layers=2, n_heads=2, max_length=24)
    decoder = CrossAttentionGPT(config, encoder_dim=16, vocabulary=Balanced.vocabulary).eval()
    for weight in decoder.parameters():
        weight.data *= 3
    strategy = STRATEGIES[request.param]
    if strategy is None:
        return decoder, None
    conditioning = strategy(strategy.Config(), encoder_dim=16, decoder_dim=32, n_layers=2).eval()
    for weight in conditioning.parameters():
        weight.data += 0.3 * torch.randn_like(weight)
    return decoder, conditioning


def write(model, indices=range(N), seed=1, constraints_for=None, **settings):
    options = SampleSection(n=N, **settings)
    samples = sample_strings(
        *model,
        Balanced(),
        indices=list(indices),
        settings=options,
        seed=seed,
        memory_for=memory_for,
        null_memory=NULL,
        constraints_for=constraints_for,
    )
    return {sample.index: sample for sample in samples}


def assert_same(samples, expected):
    assert {i: sample.ids for i, sample in samples.items()} == {i: sample.ids for i, sample in expected.items()}
    for index, sample in samples.items():
        assert sample.log_prob == pytest.approx(expected[index].log_prob, abs=1e-5)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_samples_do_not_depend_on_the_batch_or_the_split(model, guidance):
    if model[1] is None and guidance != 1.0:
        with pytest.raises(ConditionError, match="no condition to be guided by"):
            write(model, guidance=guidance)
        return
    whole = write(model, batch_size=16, guidance=guidance)
    assert sorted(whole) == list(range(N))
    for batch_size in (1, 128):
        assert_same(write(model, batch_size=batch_size, guidance=guidance), whole)
    halves = write(model, range(0, N, 2), guidance=guidance) | write(model, range(N - 1, 0, -2), guidance=guidance)
    assert_same(halves, whole)


def test_strings_obey_the_grammar_and_differ(model):
    samples = write(model)
    for sample in samples.values():
        assert sample.finished
        assert sample.string.count("a") == sample.string.count("b")
        assert len(sample.ids) <= 22
    assert len({sample.string for sample in samples.values()}) > N // 2


def test_log_probability_is_that_of_the_whole_string(model):
    decoder, conditioning = model
    for index, sample in list(write(model, temperature=0.7, top_k=3).items())[:8]:
        ids = torch.tensor([[1, *sample.ids, 2]])
        block = memory_for(range(N)).select(torch.tensor([index]))
        with torch.no_grad():
            log_probs = decoder(ids[:, :-1], Ports.bind(conditioning, block)).log_softmax(-1)
        expected = log_probs.gather(2, ids[:, 1:, None]).sum().item()
        assert sample.log_prob == pytest.approx(expected, abs=1e-4)


def test_the_seed_decides(model):
    assert write(model, seed=1) == write(model, seed=1)
    assert write(model, seed=1) != write(model, seed=2)


def test_constraints_are_obeyed_and_the_impossible_is_refused_first(model):
    wanted = {index: "cd"[index % 2] for index in range(N)}
    samples = write(model, constraints_for=lambda indices: [{"first": wanted[i]} for i in indices])
    assert all(sample.string[0] == wanted[index] for index, sample in samples.items())
    with pytest.raises(ConditionError, match="begins with x"):
        write(model, constraints_for=lambda indices: [{"first": "x" if i == N - 1 else "a"} for i in indices])


def test_guidance_scales_between_null_and_condition(model):
    decoder, conditioning = model
    if conditioning is None:
        pytest.skip("nothing to guide")
    plain = {i: s.string for i, s in write(model, temperature=0.0).items()}
    assert len(set(plain.values())) > 1
    unconditional = {s.string for s in write(model, guidance=0.0, temperature=0.0).values()}
    assert len(unconditional) == 1
    strong = {i: s.string for i, s in write(model, guidance=4.0, temperature=0.0).items()}
    assert strong != plain
    with pytest.raises(ConditionError, match="null"):
        list(
            sample_strings(
                decoder,
                conditioning,
                Balanced(),
                indices=[0],
                settings=SampleSection(guidance=2.0),
                seed=0,
                memory_for=memory_for,
            )
        )


def test_settings_out_of_range_are_named(model):
    for name, value in {"temperature": -1.0, "top_k": 0, "top_p": 1.5, "min_p": 0.0, "max_length": 99, "batch_size": 0}.items():
        with pytest.raises(ConditionError, match=name):
            write(model, **{name: value})


def test_draws_follow_the_softmax():
    logits = np.tile(np.array([[0.0, 1.0, 2.0, 5.0]], dtype=np.float32), (100_000, 1))
    allowed = np.ones_like(logits, dtype=bool)
    allowed[:, 3] = False
    index, step = np.arange(100_000), np.full(100_000, 7)
    shares = np.bincount(TokenDraw(temperature=0.5).draw(logits, allowed, 3, index, step), minlength=4) / 100_000
    expected = np.exp([0.0, 2.0, 4.0]) / np.exp([0.0, 2.0, 4.0]).sum()
    # five standard errors
    np.testing.assert_allclose(shares[:3], expected, atol=5 * 0.5 / np.sqrt(100_000))
    assert shares[3] == 0


@pytest.mark.parametrize(
    ("filters", "kept"),
    [({"top_k": 2}, {1, 3}), ({"top_p": 0.5}, {3}), ({"top_p": 0.7}, {1, 3}), ({"min_p": 0.2}, {1, 3, 4}), ({}, {0, 1, 3, 4})],
)
def test_filters_keep_what_they_promise(filters, kept):
    logits = np.tile(np.log(np.array([[0.02, 0.2, 0.1, 0.45, 0.13]])).astype(np.float32), (3000, 1))
    allowed = np.array([[True, True, False, True, True]]).repeat(3000, 0)
    chosen = TokenDraw(**filters).draw(logits, allowed, 0, np.arange(3000), np.zeros(3000, dtype=int))
    assert set(chosen.tolist()) == kept


def test_streams_of_neighbours_are_independent():
    numbers = np.array([[uniform(np.uint64(0), i, s, 5) for s in range(60)] for i in range(60)])
    assert abs(numbers.mean() - 0.5) < 5 / np.sqrt(12 * 3600)
    for shifted in (numbers[1:], numbers[:, 1:]):
        other = numbers[:-1] if shifted.shape[1] == 60 else numbers[:, :-1]
        assert abs(np.corrcoef(shifted.ravel(), other.ravel())[0, 1]) < 0.08


def test_results_are_frozen(model):
    sample = next(iter(write(model, range(2)).values()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample.index = 3


def test_a_wide_beam_finds_the_likeliest_string_of_all(model):
    """Words of at most four letters can all be listed and scored."""
    decoder, conditioning = model
    memory = memory_for([3])
    words = [[]]
    for _ in range(4):
        words += [[*word, token] for word in words if len(word) == len(words[-1]) for token in range(3, 7)]
    words = [word for word in words if word.count(A) == word.count(B)]
    scores = {}
    for word in words:
        ids = torch.tensor([[1, *word, 2]])
        with torch.no_grad():
            log_probs = decoder(ids[:, :-1], Ports.bind(conditioning, memory)).log_softmax(-1)
        scores[tuple(word)] = log_probs.gather(2, ids[:, 1:, None]).sum().item()
    best = sorted(scores, key=lambda word: -scores[word])[:5]
    found = beam_search(decoder, conditioning, Balanced(), width=300, memory=memory, max_length=6)[:5]
    assert [item.ids for item in found] == best
    assert [item.log_prob for item in found] == pytest.approx([scores[word] for word in best], abs=1e-4)
    greedy = beam_search(decoder, conditioning, Balanced(), width=1, memory=memory, max_length=6)
    assert greedy[0].log_prob <= found[0].log_prob + 1e-6


def test_the_likeliest_distinct_are_kept():
    samples = [SampledString(i, (), string, -cost, done) for i, (string, cost, done) in enumerate(CANDIDATES)]
    kept = likeliest_distinct(samples, 2, key=lambda string: "".join(sorted(string)))
    assert [(sample.string, sample.log_prob) for sample in kept] == [("ba", -1.0), ("c", -3.0)]
    assert len(likeliest_distinct(samples, 10)) == 4


CANDIDATES = [("ab", 2.0, True), ("ba", 1.0, True), ("c", 3.0, True), ("d", 0.5, False), ("cc", 4.0, True)]


def test_a_grammar_without_way_out_is_named():
    logits, nothing = np.zeros((1, 4), dtype=np.float32), np.zeros((1, 4), dtype=bool)
    with pytest.raises(ValueError, match="sample 7: the grammar allows no token at step 3"):
        TokenDraw().draw(logits, nothing, 0, np.array([7]), np.array([3]))
