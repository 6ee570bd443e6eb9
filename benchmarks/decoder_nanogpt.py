"""The yardstick of a training step: a small GPT by hand, attention as two products, for torch.compile.

The same parameters as `crystalfw.plugins.decoders.gpt.GPT`, learned positions, tied output, no ports, no options: what one
would write for this shape of model and nothing else. `weights_from` copies ours, so that both are the same function.

Shapes: B strings, T tokens, D width, H heads, K head width, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from crystalfw.plugins.decoders.gpt import GPT


class Block(nn.Module):
    """Attention and MLP on the residual stream."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.grow, self.shrink = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, h_BTD: Tensor, bias_TT: Tensor) -> Tensor:
        """h (B, T, D) after this block."""
        size, length, dim = h_BTD.shape
        q, k, v = self.qkv(self.norm_attention(h_BTD)).view(size, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        scores_BHTT = q @ k.transpose(-2, -1) * (1.0 / math.sqrt(dim // self.n_heads)) + bias_TT
        with torch.autocast("cpu", enabled=False):
            weights_BHTT = scores_BHTT.softmax(-1)
        h_BTD = h_BTD + self.out((weights_BHTT @ v).transpose(1, 2).reshape(size, length, dim))
        return h_BTD + self.shrink(functional.gelu(self.grow(self.norm_mlp(h_BTD))))


class NanoGPT(nn.Module):
    """forward(ids, lengths) is the mean loss over real tokens."""

    def __init__(self, vocabulary: int, length: int, dim: int, n_layers: int, n_heads: int) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(vocabulary, dim), nn.Embedding(length, dim)
        self.blocks = nn.ModuleList([Block(dim, n_heads) for _ in range(n_layers)])
        self.norm = nn.LayerNorm(dim)

    def forward(self, ids_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Cross entropy in nats."""
        length = ids_BT.shape[1] - 1
        steps_T = torch.arange(length)
        bias_TT = torch.zeros(length, length, dtype=torch.bfloat16).masked_fill_(steps_T[:, None] < steps_T, -math.inf)
        h_BTD = self.token(ids_BT[:, :-1]) + self.position(steps_T)
        for block in self.blocks:
            h_BTD = block(h_BTD, bias_TT)
        logits_BTV = functional.linear(self.norm(h_BTD), self.token.weight)
        target_BT = ids_BT[:, 1:].masked_fill(steps_T + 1 >= lengths_B[:, None], -100)
        return functional.cross_entropy(logits_BTV.flatten(0, 1).float(), target_BT.flatten())


def weights_from(ours: GPT) -> NanoGPT:
    """The yardstick with the weights of our decoder."""
    config = ours.config
    model = NanoGPT(len(ours.token.weight), ours.max_length, ours.dim, ours.n_layers, config.n_heads)
    model.load_state_dict(ours.state_dict())
    return model
