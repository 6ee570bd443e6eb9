"""The steps between two rows of the log."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor


class Window:
    """Kept on the device, so that no step waits for the host."""

    def __init__(self, fabric: Fabric, pending: list[list[float]], peak_flops: float) -> None:
        """`pending`: steps of before an interruption; `peak_flops`: operations per second of one device, 0 if unknown."""
        self.fabric, self.last_loss, self.peak_flops = fabric, math.nan, peak_flops
        self.steps: list[tuple[Any, ...]] = [tuple(step) for step in pending]
        self.began = time.monotonic()

    def add(self, total: Tensor, weight: Tensor, norm: Tensor, tokens: int, padded: int, flops: float) -> None:
        """Take in a step: loss sum, weight, gradient norm, tokens, padded tokens, operations."""
        self.steps.append((total, weight, norm, tokens, padded, flops))

    def pending(self) -> list[list[float]]:
        """The steps as numbers, for a checkpoint."""
        return [[float(value) for value in step] for step in self.steps]

    def flush(self) -> tuple[dict[str, Any], int]:
        """The row of these steps, and their tokens over all ranks; all ranks call it."""
        total, weight, _, *own = (sum(column) for column in zip(*self.pending(), strict=True))
        tokens, padded, flops = all_sum(self.fabric, torch.tensor(own)).tolist()
        seconds = max(time.monotonic() - self.began, 1e-9)
        devices_peak = self.peak_flops * self.fabric.world_size
        self.last_loss = total / max(weight, 1.0)
        row = {
            "loss": self.last_loss,
            "grad_norm": float(self.steps[-1][2]),
            "tokens_per_s": tokens / seconds,
            "padding": padded / tokens if tokens else 1.0,
        }
        if devices_peak:
            row["mfu"] = flops / seconds / devices_peak
        self.steps, self.began = [], time.monotonic()
        return row, int(tokens)


def all_sum(fabric: Fabric, tensor: Tensor) -> Tensor:
    """The sum over all ranks, on every rank."""
    total = fabric.all_reduce(tensor, reduce_op="sum")
    assert isinstance(total, Tensor)
    return total
