"""Every law of conditionings catches a strategy that was broken on purpose, and passes a sound one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from crystalfw.core.batch import Memory
from crystalfw.core.interfaces import Conditioning
from crystalfw.core.testing import laws_of
from crystalfw.core.testing.laws import Subject
from tests.core.testing.planted import other_config, unordered_version


class Sound(Conditioning):
    """A gated, projected mean of the real memory tokens in every layer; starts without influence."""

    port = "layer"
    zero_init = True

    def __init__(self, config, *, encoder_dim, decoder_dim, n_layers):
        super().__init__()
        self.project = nn.Linear(encoder_dim, decoder_dim)
        self.gates = nn.Parameter(torch.zeros(n_layers, decoder_dim))

    def prepare(self, memory):
        return {"mean": self.project(self.mean(memory))}

    def mean(self, memory):
        weight_BM1 = memory.mask[..., None].to(memory.tokens.dtype)
        return (memory.tokens.masked_fill(~memory.mask[..., None], 0.0) * weight_BM1).sum(1) / weight_BM1.sum(1)

    def forward(self, h, memory, layer=0):
        return torch.tanh(self.gates[layer] * memory["mean"])[:, None] * (1 + h)


class NoPort(Sound):
    port = "layers"


class NotZero(Sound):
    def forward(self, h, memory, layer=0):
        return super().forward(h, memory, layer) + memory["mean"][:, None]


class Deaf(Sound):
    def prepare(self, memory):
        return {"mean": torch.zeros_like(super().prepare(memory)["mean"])}


class Detached(Sound):
    def prepare(self, memory):
        return {"mean": super().prepare(Memory(memory.tokens.detach(), memory.mask, memory.pooled.detach()))["mean"]}


class Unmasked(Sound):
    def mean(self, memory):
        return memory.tokens.mean(1)


class ZeroTimesAnything(Sound):
    def mean(self, memory):
        weight_BM1 = memory.mask[..., None].to(memory.tokens.dtype)
        return (memory.tokens * weight_BM1).sum(1) / weight_BM1.sum(1)


class BatchNorm(Sound):
    def mean(self, memory):
        return super().mean(memory) - super().mean(memory).mean(0)


class Unpickable(Sound):
    def prepare(self, memory):
        return {"mean": super().prepare(memory)["mean"].transpose(0, 1)}

    def forward(self, h, memory, layer=0):
        return super().forward(h, {"mean": memory["mean"].transpose(0, 1)}, layer)


class LooksAhead(Sound):
    def forward(self, h, memory, layer=0):
        return super().forward(h.mean(1, keepdim=True).expand_as(h), memory, layer)


class RootOfZero(Sound):
    def forward(self, h, memory, layer=0):
        filled = super().forward(h, memory, layer)
        return filled + (filled - filled).square().sum(-1, keepdim=True).sqrt()


class HiddenState(Sound):
    def __init__(self, config, **dimensions):
        super().__init__(config, **dimensions)
        self.hidden = torch.randn(())

    def forward(self, h, memory, layer=0):
        return super().forward(h, memory, layer) * self.hidden


BUGS = {
    "port": [NoPort],
    "zero_init": [NotZero],
    "influence": [Deaf, Detached],
    "mask": [Unmasked, ZeroTimesAnything],
    "batch_independence": [BatchNorm],
    "rows": [Unpickable],
    "causality": [LooksAhead],
    "gradients": [RootOfZero],
    "state_dict": [HiddenState],
    "config": [other_config(Sound)],
    "version": [unordered_version(Sound)],
}


@pytest.mark.parametrize("law", laws_of("conditioning"), ids=lambda law: law.name)
def test_a_sound_strategy_passes(law):
    assert law.violation(Subject("conditioning", Sound)) is None


@pytest.mark.parametrize("law", laws_of("conditioning"), ids=lambda law: law.name)
def test_the_planted_bugs_are_caught(law):
    for bug in BUGS[law.name]:
        message = law.violation(Subject("conditioning", bug))
        assert message is not None, f"{bug.__name__} passes"
        assert message.startswith(law.statement)
        assert message.endswith(law.remedy)
