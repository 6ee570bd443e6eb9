"""Every law of decoders catches one that was broken on purpose, and passes a sound one."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from crystalfw.core.interfaces import DecodingCache, PropertyDecoder, SequenceDecoder
from crystalfw.core.records import Loss
from crystalfw.core.testing import laws_of
from crystalfw.core.testing.laws import Subject
from tests.core.testing.planted import other_config, unordered_version


class Cache(DecodingCache):
    """A running mean of embeddings per row."""

    def __init__(self, rows, dim):
        self.positions = torch.zeros(rows, dtype=torch.int64)
        self.total = torch.zeros(rows, dim, dtype=torch.float64)

    def select(self, index):
        self.positions, self.total = self.positions[index], self.total[index]

    def reset(self, rows):
        self.positions[rows], self.total[rows] = 0, 0.0


class Sound(SequenceDecoder):
    """Logits from the mean of the embeddings so far; one layer port."""

    dim, n_layers, max_length = 8, 1, 32
    ports = frozenset({"none", "input", "layer"})

    def __init__(self, config, *, encoder_dim, vocabulary):
        super().__init__()
        self.embed = nn.Embedding(len(vocabulary), 8)
        self.head = nn.Sequential(nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, len(vocabulary)))
        self.blocks = (self.head,)

    def new_cache(self, batch_size, length, ports):
        return Cache(batch_size, 8)

    def running(self, h, cache):
        start = cache.positions[:, None] if cache else torch.zeros(len(h), 1, dtype=torch.int64)
        counts = start + torch.arange(1, h.shape[1] + 1)
        total = h.cumsum(1) + (cache.total[:, None] if cache else 0.0)
        if cache:
            cache.total, cache.positions = total[:, -1], cache.positions + h.shape[1]
        return total / counts[..., None]

    def forward(self, ids, ports, cache=None):
        return self.head(ports.layer(self.running(ports.input(self.embed(ids)), cache), 0))


class WrongWidth(Sound):
    def forward(self, ids, ports, cache=None):
        return super().forward(ids, ports, cache)[..., :-1]


class LooksAhead(Sound):
    def forward(self, ids, ports, cache=None):
        logits = super().forward(ids, ports, cache)
        return logits if cache else logits + logits.mean(1, keepdim=True)


class ForgetsCount(Sound):
    def running(self, h, cache):
        if cache:
            cache.positions = torch.zeros_like(cache.positions)
        return super().running(h, cache)


class Uncached(Sound):
    """Ports are applied to the first piece only."""

    def forward(self, ids, ports, cache=None):
        h = self.embed(ids)
        h = ports.input(h) if cache is None or not cache.positions.any() else h
        return self.head(ports.layer(self.running(h, cache), 0))


class KeepsRows(Sound):
    class Broken(Cache):
        def reset(self, rows):
            self.positions[rows] = 0

    def new_cache(self, batch_size, length, ports):
        return self.Broken(batch_size, 8)


class DuckCache(Sound):
    """Its cache has the methods, and is no DecodingCache."""

    class Duck:
        __init__, select, reset = Cache.__init__, Cache.select, Cache.reset

    def new_cache(self, batch_size, length, ports):
        return self.Duck(batch_size, 8)


class ResetsAll(Sound):
    class Broken(Cache):
        def reset(self, rows):
            super().reset(slice(None))

    def new_cache(self, batch_size, length, ports):
        return self.Broken(batch_size, 8)


class BatchNorm(Sound):
    def running(self, h, cache):
        return super().running(h - h.mean(0, keepdim=True), cache)


class IgnoresLayer(Sound):
    def forward(self, ids, ports, cache=None):
        return self.head(self.running(ports.input(self.embed(ids)), cache))


class CountsWrong(Sound):
    n_layers = 2


class ForeignBlock(Sound):
    def __init__(self, config, **dimensions):
        super().__init__(config, **dimensions)
        self.blocks = (nn.Linear(8, 8),)


class BypassedBlock(Sound):
    """Its loss uses the weights of a block without calling the block."""

    def __init__(self, config, **dimensions):
        super().__init__(config, **dimensions)
        self.scale = nn.Linear(8, 8)
        self.blocks = [self.head, self.scale]

    def running(self, h, cache):
        return super().running(nn.functional.linear(h, self.scale.weight), cache)


class SoundPrediction(PropertyDecoder):
    """Two columns by one linear layer."""

    dim = 24

    def __init__(self, config, *, encoder_dim, vocabulary):
        super().__init__()
        self.targets = ("gap", "density")
        self.layer = nn.Linear(encoder_dim, 2)

    def predict(self, memory):
        return dict(zip(self.targets, self.layer(memory.pooled).unbind(1), strict=True))

    def loss(self, batch, memory, ports):
        return Loss(self.layer(memory.pooled).sum(), memory.pooled.new_tensor(len(memory.pooled)))


class ForgetsTarget(SoundPrediction):
    def predict(self, memory):
        return {"gap": super().predict(memory)["gap"]}


class KeepsColumn(SoundPrediction):
    """Values (B, 1) instead of (B,)."""

    def predict(self, memory):
        return {name: values[:, None] for name, values in super().predict(memory).items()}


class DividesBySpread(SoundPrediction):
    """Not finite for a single crystal."""

    def predict(self, memory):
        return {name: values / values.std(correction=0) for name, values in super().predict(memory).items()}


class MeanLoss(Sound):
    def loss(self, batch, memory, ports):
        loss = super().loss(batch, memory, ports)
        return Loss(loss.total / loss.weight, loss.weight)


class CountsPadding(Sound):
    def loss(self, batch, memory, ports):
        if batch.tokens is not None:
            full = torch.full_like(batch.tokens.lengths, batch.tokens.ids.shape[1])
            batch = dataclasses.replace(batch, tokens=dataclasses.replace(batch.tokens, lengths=full))
        return super().loss(batch, memory, ports)


class RootOfZero(Sound):
    def running(self, h, cache):
        return super().running(h + (h - h).square().sum(-1, keepdim=True).sqrt(), cache)


class HiddenState(Sound):
    def __init__(self, config, **dimensions):
        super().__init__(config, **dimensions)
        self.hidden = torch.randn(())

    def running(self, h, cache):
        return super().running(h, cache) * self.hidden


class Noisy(Sound):
    def running(self, h, cache):
        return super().running(h * torch.rand(()), cache)


class Copies(Sound):
    """Makes the token ids of a memory likelier."""

    def forward(self, ids, ports, cache=None):
        logits, memory = super().forward(ids, ports, cache), ports.copied
        if memory is None:
            return logits
        told = self.told(memory)
        counts = nn.functional.one_hot(memory.ids.clamp_min(0), logits.shape[-1]) * told[..., None]
        return logits + counts.sum(1, keepdim=True)

    def told(self, memory):
        return memory.mask & (memory.ids >= 0)


class CopiesMasked(Copies):
    def told(self, memory):
        return memory.ids >= 0


BUGS = {
    "copied": [CopiesMasked],
    "dimensions": [WrongWidth],
    "causality": [LooksAhead],
    "cache": [ForgetsCount, Uncached],
    "cache_rows": [KeepsRows],
    "cache_positions": [DuckCache, ResetsAll],
    "batch_independence": [BatchNorm],
    "conditioning_used": [IgnoresLayer, CountsWrong],
    "blocks": [ForeignBlock, BypassedBlock],
    "prediction": [ForgetsTarget, KeepsColumn, DividesBySpread],
    "additive_loss": [MeanLoss, CountsPadding],
    "gradients": [RootOfZero],
    "state_dict": [HiddenState],
    "determinism": [Noisy],
    "config": [other_config(Sound)],
    "version": [unordered_version(Sound)],
}


@pytest.mark.parametrize("law", laws_of("decoder"), ids=lambda law: law.name)
def test_a_sound_decoder_passes(law):
    sound = {"prediction": SoundPrediction, "copied": Copies}.get(law.name, Sound)
    assert law.violation(Subject("decoder", sound)) is None


@pytest.mark.parametrize("law", laws_of("decoder"), ids=lambda law: law.name)
def test_the_planted_bugs_are_caught(law):
    for bug in BUGS[law.name]:
        message = law.violation(Subject("decoder", bug))
        assert message is not None, f"{bug.__name__} passes"
        assert message.startswith(law.statement)
        assert message.endswith(law.remedy)
        assert "ended with" not in message, message
