"""The transformer that both GPT decoders share: embedding, blocks with ports for conditioning, logits; with a cache.

Pre-normalised blocks as in GPT-2; rotary positions (Su et al., arXiv:2104.09864) by option.

Shapes: B strings, T tokens, P prefix tokens, D width, H heads, K head width, V vocabulary,
F hidden width of the MLP, or fresh rows of a cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from crystalfw.core.errors import DataError, PluginError
from crystalfw.core.interfaces import Ports, SequenceDecoder
from crystalfw.core.model.attention import IMPLEMENTATIONS, attend, attend_causal
from crystalfw.core.records import Vocabulary
from crystalfw.plugins.decoders.cache.choose import new_cache
from crystalfw.plugins.decoders.cache.static import KVCache

Attend = Callable[[Tensor], Tensor]
"""Queries, keys and values (B, T, 3, H, K) -> what each token reads (B, T, D)."""


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Options of both GPT decoders."""

    n_layers: int = 4
    """Blocks."""
    n_heads: int = 4
    """Attention heads; must divide `dim`."""
    dim: int = 128
    """Width of the residual stream."""
    mlp_ratio: float = 4.0
    """Width of the MLP's hidden layer as a multiple of `dim`."""
    dropout: float = 0.0
    """Share of embedding and residual activations dropped in training."""
    max_length: int = 512
    """Longest string in tokens, begin and end included."""
    positions: str = "learned"
    """`learned`: a vector per position, added to the token's; `rotary`: queries and keys rotated by position."""
    attention: str = "auto"
    """`bmm`: two batched products; `sdpa`: torch's fused kernels; `auto`: the faster one on the device."""
    tied: bool = True
    """True uses the token embedding as the output layer as well."""
    checkpoint_activations: bool = False
    """True recomputes each block in the backward pass: memory for time."""


class Backbone(SequenceDecoder):
    """A causal transformer over tokens; a subclass only declares the ports that it offers."""

    Config = BackboneConfig

    def __init__(self, config: BackboneConfig, *, encoder_dim: int, vocabulary: Vocabulary) -> None:
        super().__init__()
        _check(config)
        self.config = config
        self.dim, self.n_layers, self.max_length = config.dim, config.n_layers, config.max_length
        self.token = nn.Embedding(len(vocabulary), config.dim)
        self.position = nn.Embedding(config.max_length, config.dim) if config.positions == "learned" else None
        self.drop = nn.Dropout(config.dropout) if config.dropout else None
        self.blocks: nn.ModuleList = nn.ModuleList([Block(config) for _ in range(config.n_layers)])
        self.norm = nn.LayerNorm(config.dim)
        self.head = None if config.tied else nn.Linear(config.dim, len(vocabulary), bias=False)
        self.turns_T2K: Tensor
        if config.positions == "rotary":
            turns_TK = rotary_turns(config.max_length, config.dim // config.n_heads)
            self.register_buffer("turns_T2K", turns_TK, persistent=False)
        # counted now: sharding replaces parameters
        self._weights = sum(weight.numel() for weight in self.blocks.parameters() if weight.dim() == 2)
        self._weights += self.token.weight.numel()  # the output layer, tied or not
        self.apply(_initialise)
        for name, weight in self.named_parameters():
            if name.endswith(("out.weight", "shrink.weight")):
                # Each block adds two terms to the residual stream; this keeps its variance at the start (GPT-2).
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * config.n_layers))

    def forward(self, ids_BT: Tensor, ports: Ports, cache: KVCache | None = None) -> Tensor:
        """Logits (B, T, V); raises DataError for strings longer than `max_length`."""
        return self.logits(self.hidden(ids_BT, ports, cache))

    def hidden(self, ids_BT: Tensor, ports: Ports, cache: KVCache | None = None) -> Tensor:
        """(B, T, D) what the blocks say after each token, before the last norm."""
        if cache is not None:
            return self._hidden_cached(ids_BT, ports, cache)
        length = ids_BT.shape[1]
        positions_T = torch.arange(length, device=ids_BT.device)
        h_BTD = ports.input(self.embed(ids_BT, positions_T))
        prefix_BPD = ports.prefix(h_BTD)
        if prefix_BPD is None:
            return self._run(h_BTD, ports, [self._causal(positions_T)] * self.n_layers)
        n_prefix = prefix_BPD.shape[1]
        positions_S = torch.cat([positions_T.new_zeros(n_prefix), positions_T])
        attention = self._prefixed(positions_S, n_prefix, ports.prefix_mask())
        h_BSD = torch.cat([prefix_BPD.to(h_BTD.dtype), h_BTD], dim=1)
        return self._run(h_BSD, ports, [attention] * self.n_layers)[:, n_prefix:]

    def embed(self, ids_BT: Tensor, positions: Tensor) -> Tensor:
        """Token plus position embedding (B, T, D); `positions` (T,) or (B, T)."""
        if ids_BT.shape[1] > self.max_length:
            raise DataError(f"a string of {ids_BT.shape[1]} tokens; the decoder's max_length is {self.max_length}: raise it")
        h_BTD = self.token(ids_BT)
        if self.position is not None:
            h_BTD = h_BTD + self.position(positions)
        return h_BTD if self.drop is None else self.drop(h_BTD)

    def logits(self, h_BTD: Tensor) -> Tensor:
        """(B, T, V) scores of the next token."""
        weight_VD = self.token.weight if self.head is None else self.head.weight
        return functional.linear(self.norm(h_BTD), weight_VD)

    def training_flops(self, lengths_B: Tensor) -> float:
        """Matrix products of forward and backward: 6 for each weight and token (Kaplan et al. 2020, arXiv:2001.08361) and
        12 D T in each layer for a token's attention over T (Chowdhery et al. 2022, appendix B). Conditioning not included."""
        steps_B = (lengths_B - 1).double()  # the last token is predicted but never read
        return float(6 * self._weights * steps_B.sum() + 12 * self.n_layers * self.dim * (steps_B**2).sum())

    def new_cache(self, batch_size: int, length: int, ports: Ports) -> KVCache:
        """An empty cache; a prefix is added to `length`."""
        config, weight = self.config, self.token.weight
        prefix_BPD = ports.prefix(weight.new_zeros(batch_size, 0, config.dim))
        length += 0 if prefix_BPD is None else prefix_BPD.shape[1]
        sizes = (config.n_layers, batch_size, config.n_heads, config.dim // config.n_heads, length)
        return new_cache(*sizes, device=weight.device, dtype=weight.dtype)

    def _run(self, h_BTD: Tensor, ports: Ports, attentions: list[Attend]) -> Tensor:
        for layer, (block, attention) in enumerate(zip(self.blocks, attentions, strict=True)):
            if self.config.checkpoint_activations and self.training:
                h_BTD = checkpoint(block, h_BTD, ports, layer, attention, use_reentrant=False)
            else:
                h_BTD = block(h_BTD, ports, layer, attention)
        return h_BTD

    def _hidden_cached(self, ids_BT: Tensor, ports: Ports, cache: KVCache) -> Tensor:
        self._start_rows(ports, cache)
        steps_T = torch.arange(ids_BT.shape[1])
        positions_BT = (cache.positions[:, None] + steps_T).to(ids_BT.device, non_blocking=True)
        h_BTD = ports.input(self.embed(ids_BT, positions_BT))
        cache.begin(ids_BT.shape[1])
        h_BTD = self._run(h_BTD, ports, [self._cached(cache, layer, positions_BT) for layer in range(self.n_layers)])
        cache.positions += ids_BT.shape[1]
        return h_BTD

    def _start_rows(self, ports: Ports, cache: KVCache) -> None:
        """Run the prefix of rows that have not started, and keep its real tokens in the cache."""
        fresh = (cache.filled == 0).nonzero()[:, 0]
        if not ports.has_prefix or not len(fresh):
            return
        device = self.token.weight.device
        chosen = ports.select(fresh.to(device))
        prefix_FPD = chosen.prefix(self.token.weight.new_zeros(len(fresh), 0, self.dim))
        assert prefix_FPD is not None
        mask_FP = chosen.prefix_mask()
        positions_P = torch.zeros(prefix_FPD.shape[1], dtype=torch.int64, device=device)
        plain = self._prefixed(positions_P, len(positions_P), mask_FP)

        def keeping(layer: int) -> Attend:
            def attention(qkv_FP3HK: Tensor) -> Tensor:
                keys_values = self._turn(qkv_FP3HK, positions_P)[:, :, 1:]
                cache.put(layer, fresh, keys_values, mask_FP)
                return plain(qkv_FP3HK)

            return attention

        self._run(prefix_FPD.to(self.token.weight.dtype), chosen, [keeping(layer) for layer in range(self.n_layers)])
        counts_F = torch.full((len(fresh),), len(positions_P)) if mask_FP is None else mask_FP.sum(1).cpu()
        cache.filled[fresh] = counts_F

    def _causal(self, positions_T: Tensor) -> Attend:
        def attention(qkv_BT3HK: Tensor) -> Tensor:
            q, k, v = self._turn(qkv_BT3HK, positions_T).permute(2, 0, 3, 1, 4)
            return attend_causal(q, k, v, self.config.attention).transpose(1, 2).flatten(2)

        return attention

    def _prefixed(self, positions_S: Tensor, n_prefix: int, mask_BP: Tensor | None) -> Attend:
        """Every prefix token sees the real ones, every string token those and the string up to itself."""
        length = len(positions_S)
        allowed = torch.ones(length, length, dtype=torch.bool, device=positions_S.device).tril()
        allowed[:, :n_prefix] = True
        if mask_BP is not None:
            seen_BS = functional.pad(mask_BP, (0, length - n_prefix), value=True)
            allowed = (allowed & seen_BS[:, None])[:, None]

        def attention(qkv_BS3HK: Tensor) -> Tensor:
            q, k, v = self._turn(qkv_BS3HK, positions_S).permute(2, 0, 3, 1, 4)
            return attend(q, k, v, allowed, self.config.attention).transpose(1, 2).flatten(2)

        return attention

    def _cached(self, cache: KVCache, layer: int, positions_BT: Tensor) -> Attend:
        def attention(qkv_BT3HK: Tensor) -> Tensor:
            return cache.attend(layer, self._turn(qkv_BT3HK, positions_BT))

        return attention

    def _turn(self, qkv_BT3HK: Tensor, positions: Tensor) -> Tensor:
        """Rotary positions: queries and keys rotated pair by pair; as it is for learned positions."""
        if self.position is not None:
            return qkv_BT3HK
        cos, sin = self.turns_T2K[positions].to(qkv_BT3HK.dtype)[..., None, None, :, :].unbind(-2)
        query_key, value = qkv_BT3HK[..., :2, :, :], qkv_BT3HK[..., 2:, :, :]
        first, second = query_key.chunk(2, dim=-1)
        turned = query_key * cos + torch.cat([-second, first], dim=-1) * sin
        return torch.cat([turned, value], dim=-3)


class Block(nn.Module):
    """Self-attention, the port `layer`, MLP; each on the residual stream."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        hidden = int(config.mlp_ratio * config.dim)
        self.n_heads = config.n_heads
        self.norm_attention = nn.LayerNorm(config.dim)
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)
        self.drop = nn.Dropout(config.dropout) if config.dropout else None
        self.norm_mlp = nn.LayerNorm(config.dim)
        self.grow = nn.Linear(config.dim, hidden)
        self.shrink = nn.Linear(hidden, config.dim)

    def forward(self, h_BTD: Tensor, ports: Ports, layer: int, attention: Attend) -> Tensor:
        """h (B, T, D) after this block."""
        qkv_BT3HK = self.qkv(self.norm_attention(h_BTD)).unflatten(-1, (3, self.n_heads, -1))
        h_BTD = h_BTD + self._dropped(self.out(attention(qkv_BT3HK)))
        h_BTD = ports.layer(h_BTD, layer)
        hidden_BTF = functional.gelu(self.grow(self.norm_mlp(h_BTD)))
        return h_BTD + self._dropped(self.shrink(hidden_BTF))

    def _dropped(self, h_BTD: Tensor) -> Tensor:
        return h_BTD if self.drop is None else self.drop(h_BTD)


def rotary_turns(length: int, head_dim: int) -> Tensor:
    """(T, 2, K) cosines and sines of each position's angles, wavelengths 2 pi to 2 pi 10^4 tokens."""
    rates_k = 10000.0 ** (-torch.arange(0, head_dim, 2) / head_dim)
    angles_TK = (torch.arange(length)[:, None] * rates_k).repeat(1, 2)
    return torch.stack([angles_TK.cos(), angles_TK.sin()], dim=1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def _check(config: BackboneConfig) -> None:
    if config.n_heads < 1 or config.dim % config.n_heads:
        raise PluginError(f"decoder: n_heads {config.n_heads} must divide dim {config.dim}")
    if config.positions not in ("learned", "rotary"):
        raise PluginError(f"decoder: positions {config.positions!r} must be learned or rotary")
    if config.positions == "rotary" and config.dim // config.n_heads % 2:
        raise PluginError(f"decoder: rotary positions need an even head width, not {config.dim // config.n_heads}")
    if config.attention not in IMPLEMENTATIONS:
        raise PluginError(f"decoder: attention {config.attention!r} must be one of {', '.join(IMPLEMENTATIONS)}")
