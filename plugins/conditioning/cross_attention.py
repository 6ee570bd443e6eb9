"""Cross-attention conditioning: in every block the string attends over the memory tokens.

Shapes: B crystals, T string tokens, M memory tokens, D decoder width, C encoder width, H heads, K head width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from crystalfw.core.batch import Memory
from crystalfw.core.errors import PluginError
from crystalfw.core.interfaces import Conditioning
from crystalfw.core.model.attention import IMPLEMENTATIONS, attend


class CrossAttention(Conditioning):
    """Self-attention, then this, then the MLP. It starts with zero influence, since its output projections are zero.

    Attention of Vaswani et al., arXiv:1706.03762, pre-normalised; zero start as in Flamingo, arXiv:2204.14198.
    """

    port = "layer"
    zero_init = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the cross-attention."""

        n_heads: int = 4
        """Attention heads; must divide the decoder's width."""
        attention: str = "auto"
        """`bmm`, `sdpa`, or `auto`: the faster one on the device."""

    def __init__(self, config: Config, *, encoder_dim: int, decoder_dim: int, n_layers: int) -> None:
        super().__init__()
        if config.n_heads < 1 or decoder_dim % config.n_heads:
            raise PluginError(f"cross_attention: n_heads {config.n_heads} must divide the decoder's width {decoder_dim}")
        if config.attention not in IMPLEMENTATIONS:
            raise PluginError(f"cross_attention: attention {config.attention!r} must be one of {', '.join(IMPLEMENTATIONS)}")
        self.memory_norm = nn.LayerNorm(encoder_dim)
        self.layers = nn.ModuleList(
            [_Layer(encoder_dim, decoder_dim, config.n_heads, config.attention) for _ in range(n_layers)]
        )

    def prepare(self, memory: Memory) -> dict[str, Any]:
        """The mask (B, 1, 1, M) and each layer's keys and values (B, H, M, K): projected once, not once per token."""
        # Masked tokens may hold anything; zero times infinity would not be zero.
        tokens_BMC = self.memory_norm(memory.tokens.masked_fill(~memory.mask[..., None], 0.0))
        keys_values = [layer.keys_values(tokens_BMC) for layer in self.layers if isinstance(layer, _Layer)]
        return {"mask": memory.mask[:, None, None], "layers": keys_values}

    def forward(self, h_BTD: Tensor, memory: dict[str, Any], layer: int = 0) -> Tensor:
        """The residual (B, T, D) of block `layer`."""
        attention = self.layers[layer]
        assert isinstance(attention, _Layer)
        residual_BTD: Tensor = attention(h_BTD, *memory["layers"][layer], memory["mask"])
        return residual_BTD


class _Layer(nn.Module):
    """One block's attention over the memory."""

    def __init__(self, encoder_dim: int, decoder_dim: int, n_heads: int, attention: str) -> None:
        super().__init__()
        self.n_heads, self.attention = n_heads, attention
        self.norm = nn.LayerNorm(decoder_dim)
        self.query = nn.Linear(decoder_dim, decoder_dim, bias=False)
        self.key_value = nn.Linear(encoder_dim, 2 * decoder_dim, bias=False)
        self.out = nn.Linear(decoder_dim, decoder_dim)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def keys_values(self, tokens_BMC: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, M, K) of the memory tokens."""
        key_BMD, value_BMD = self.key_value(tokens_BMC).chunk(2, dim=-1)
        return self._heads(key_BMD), self._heads(value_BMD)

    def forward(self, h_BTD: Tensor, key_BHMK: Tensor, value_BHMK: Tensor, mask_B11M: Tensor) -> Tensor:
        """What the string reads from the memory (B, T, D)."""
        query_BHTK = self._heads(self.query(self.norm(h_BTD)))
        read_BHTK = attend(query_BHTK, key_BHMK, value_BHMK, mask_B11M, self.attention)
        read_BTD: Tensor = self.out(read_BHTK.transpose(1, 2).flatten(2))
        return read_BTD

    def _heads(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
