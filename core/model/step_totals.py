"""The sums over training steps, and the row of the log made from them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor


@dataclass(frozen=True)
class StepTotals:
    """Sums over some crystals. Tensors stay on the device, so that no step waits for the host."""

    loss: Tensor | float = 0.0
    """Sum of the loss."""
    weight: Tensor | float = 0.0
    """Sum of the weights: the loss is divided by it."""
    grad_norm: Tensor | float = 0.0
    """Norm of the gradient before clipping; in a sum of steps, the sum of their norms."""
    tokens: int | float = 0
    padded: int | float = 0
    """Tokens with padding."""
    flops: float = 0.0
    """Operations of the decoder for the real tokens."""

    def __add__(self, other: StepTotals) -> StepTotals:
        return StepTotals(*(mine + theirs for mine, theirs in zip(_values(self), _values(other), strict=True)))

    def numbers(self) -> list[float]:
        """The totals as plain numbers, in the order of the fields."""
        return [float(value) for value in _values(self)]


def _values(totals: StepTotals) -> list[Any]:
    # not `astuple`, which would copy the tensors
    return [getattr(totals, field.name) for field in fields(totals)]


class Window:
    """The steps between two rows of the log."""

    def __init__(self, fabric: Fabric, pending: Sequence[Sequence[float]], peak_flops: float) -> None:
        """`pending`: totals of the steps before an interruption; `peak_flops`: operations per second of one device, 0
        if unknown."""
        self.fabric, self.last_loss, self.peak_flops = fabric, math.nan, peak_flops
        self.steps = [StepTotals(*step) for step in pending]
        self.began = time.monotonic()

    def add(self, step: StepTotals) -> None:
        """Add a step."""
        self.steps.append(step)

    def pending(self) -> list[list[float]]:
        """The steps as numbers, for a checkpoint."""
        return [step.numbers() for step in self.steps]

    def flush(self) -> tuple[dict[str, Any], int]:
        """The row of these steps, and their tokens over all ranks; all ranks call it."""
        total = sum((StepTotals(*numbers) for numbers in self.pending()), StepTotals())
        own = torch.tensor([float(total.tokens), float(total.padded), total.flops])
        tokens, padded, flops = all_sum(self.fabric, own).tolist()
        seconds = max(time.monotonic() - self.began, 1e-9)
        devices_peak = self.peak_flops * self.fabric.world_size
        self.last_loss = float(total.loss) / max(float(total.weight), 1.0)
        row = {
            "loss": self.last_loss,
            "grad_norm": float(self.steps[-1].grad_norm),
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
