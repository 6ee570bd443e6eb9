"""No conditioning: the decoder models strings without looking at the memory.

Shapes: B crystals, T tokens, D decoder width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from crystalfw.core.interfaces import Conditioning, NoOptions


class NoConditioning(Conditioning):
    """Fills no port: the unconditional baseline."""

    port = "none"
    zero_init = True

    def __init__(self, config: NoOptions, *, encoder_dim: int, decoder_dim: int, n_layers: int) -> None:
        super().__init__()

    def forward(self, h_BTD: Tensor, memory: Any, layer: int = 0) -> Tensor:
        """Return h as it is; decoders never call this."""
        return h_BTD
