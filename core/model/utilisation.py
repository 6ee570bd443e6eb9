"""Model FLOP utilisation: the share of the device's matrix throughput that a training step turns into model operations.

mfu = operations the model needs for the real tokens of a step / (seconds of the step x peak operations per second), after
Chowdhery et al. 2022 (PaLM, arXiv:2204.02311, appendix B). Padding, recomputed activations and all other work of a step are
not counted as operations, so they lower the figure. The peak is not a data sheet's: it is what a large matrix product
reaches on this device, with these threads, in this precision, measured once when a fit begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

_TYPES = {"64": torch.float64, "32": torch.float32, "16": torch.float16, "bf16": torch.bfloat16}
_SECONDS = 0.3
"""Seconds for which the peak is measured."""


@dataclass(frozen=True)
class Peak:
    """What a device reaches in a product of two large square matrices."""

    flops: float
    """Operations per second."""
    size: int
    """Rows of the matrices."""
    dtype: torch.dtype
    device: torch.device

    def __str__(self) -> str:
        threads = f", {torch.get_num_threads()} threads" if self.device.type == "cpu" else ""
        kind = str(self.dtype).removeprefix("torch.")
        return f"{self.flops / 1e12:.3g} TFLOP/s ({kind} product of {self.size} x {self.size} on {self.device.type}{threads})"


def matrix_type(precision: str) -> torch.dtype:
    """The type that matrices are multiplied in under a Fabric precision such as `bf16-mixed`; float32 for unknown ones."""
    return _TYPES.get(precision.partition("-")[0], torch.float32)


def measured_peak(device: torch.device, precision: str) -> Peak:
    """The fastest of several large products, since other load can only slow a product down."""
    dtype = matrix_type(precision)
    size = 8192 if device.type != "cpu" else 1024
    matrix = torch.ones(size, size, device=device, dtype=dtype)
    torch.mm(matrix, matrix)
    fastest, end = float("inf"), time.monotonic() + _SECONDS
    while time.monotonic() < end or fastest == float("inf"):
        fastest = min(fastest, product_seconds(matrix, time.perf_counter))
    return Peak(2 * size**3 / fastest, size, dtype, device)


def product_seconds(matrix: torch.Tensor, clock: Callable[[], float]) -> float:
    """Time that the product of a square matrix with itself takes by a clock."""
    _wait(matrix.device)
    began = clock()
    torch.mm(matrix, matrix)
    _wait(matrix.device)
    return max(clock() - began, 1e-9)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
