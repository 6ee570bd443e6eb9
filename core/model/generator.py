"""The generator: encoder -> memory -> conditioning + decoder -> loss.

Shapes: B crystals, M memory tokens, C encoder width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crystalfw.core.batch import CrystalBatch, Memory, TrainBatch
from crystalfw.core.interfaces import Conditioning, Decoder, Encoder, Ports
from crystalfw.core.records import Loss


class Generator(nn.Module):
    """All trainable parts. `forward` is the loss, so that every Fabric strategy can wrap the module unchanged."""

    def __init__(
        self,
        encoder: Encoder,
        conditioning: Conditioning,
        decoder: Decoder,
        *,
        memory: str = "tokens",
        condition_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder, self.conditioning, self.decoder = encoder, conditioning, decoder
        self.pooled_only = memory == "pooled"
        self.uses_memory = conditioning.port != "none" or not decoder.needs_tokens
        self.condition_dropout = condition_dropout if self.uses_memory and decoder.needs_tokens else 0.0
        self.null_C = nn.Parameter(0.02 * torch.randn(encoder.dim))
        if not self.condition_dropout:
            self.null_C.requires_grad_(False)
        if not self.uses_memory:
            encoder.requires_grad_(False)

    def memory(self, crystals: CrystalBatch) -> Memory:
        """What conditioning and decoder see of the crystals."""
        memory: Memory = self.encoder(crystals)
        return memory.only_pooled() if self.pooled_only else memory

    def null_memory(self, size: int) -> Memory:
        """The learned null condition for `size` crystals: the unconditional side of guidance."""
        pooled_BC = self.null_C.expand(size, -1)
        mask_B1 = torch.ones(size, 1, dtype=torch.bool, device=self.null_C.device)
        ids_B1 = mask_B1.long().neg() if self.encoder.templates else None  # nothing to copy, where there could be
        return Memory(pooled_BC[:, None], mask_B1, pooled_BC, ids_B1)

    def bind(self, memory: Memory) -> Ports:
        """The decoder's ports for this memory."""
        return Ports.bind(self.conditioning, memory)

    def forward(self, batch: TrainBatch, dropped_B: Tensor | None = None) -> Loss:
        """The training loss; crystals marked in `dropped_B` (B,) bool are trained with the null condition."""
        batch = self.decoder.hide(batch)
        if self.uses_memory:
            memory = self.memory(batch.crystals)
            if self.condition_dropout and dropped_B is not None:
                memory = self._drop(memory, dropped_B)
        else:
            memory = self.null_memory(batch.crystals.size)
        loss: Loss = self.decoder.loss(batch, memory, self.bind(memory))
        return loss

    def _drop(self, memory: Memory, dropped_B: Tensor) -> Memory:
        first_BM = torch.zeros_like(memory.mask)
        first_BM[:, 0] = True
        null_C = self.null_C.to(memory.tokens.dtype)
        return Memory(
            torch.where(dropped_B[:, None, None], null_C, memory.tokens),
            torch.where(dropped_B[:, None], first_BM, memory.mask),
            torch.where(dropped_B[:, None], null_C, memory.pooled),
            None if memory.ids is None else memory.ids.masked_fill(dropped_B[:, None], -1),
        )


def parameter_counts(generator: Generator) -> dict[str, int]:
    """Trainable parameters of each part and in total."""
    parts = {"encoder": generator.encoder, "conditioning": generator.conditioning, "decoder": generator.decoder}
    counts = {name: sum(p.numel() for p in part.parameters() if p.requires_grad) for name, part in parts.items()}
    counts["total"] = sum(p.numel() for p in generator.parameters() if p.requires_grad)
    return counts
