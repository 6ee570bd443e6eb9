"""The precision that a run computes in: what `fabric.precision: auto` stands for, measured when the run begins.

bfloat16 saves time where the hardware multiplies it. A CPU without such units emulates it, hundreds of times slower than
float32. The measurement is a product of two square matrices in both types, a few hundredths of a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from crystalfw.core.model.utilisation import matrix_type, product_seconds
from crystalfw.core.recipe.schema import AUTO_PRECISION

FLOAT32 = "32-true"
BFLOAT16 = "bf16-mixed"
MARGIN = 4.0
"""How much faster a bfloat16 product must be before `auto` takes it: casts cost time too, and a machine must reach the
same decision every time (CPUs of 2026 were seen at 2.0; GPUs are far above)."""
SLOW = 2.0
"""How much slower than float32 a precision may be before a run that asks for it warns."""
_SIZES = {"cpu": (128, 512), "cuda": (512, 2048)}
"""Rows of the matrices: a small product first, because a large one can take seconds in an emulated type."""
_HOPELESS = 4.0
_GROUPS, _ROUNDS = 4, 5


def decide(asked: str, device: torch.device) -> tuple[str, str]:
    """The precision to compute in, and what to tell the user about it (empty: nothing)."""
    dtype = matrix_type(asked)
    if asked == AUTO_PRECISION:
        return automatic(device)
    if dtype not in (torch.bfloat16, torch.float16) or device.type not in _SIZES:
        return asked, ""
    _, highest = relative_speed(device, dtype)
    slowness = 1 / highest
    if slowness <= SLOW:
        return asked, ""
    return asked, (
        f"warning: fabric.precision={asked} is slow here: on this {device.type} a product takes {slowness:,.0f} times as long "
        f"in {_name(dtype)} as in float32; set fabric.precision=auto or fabric.precision={FLOAT32}"
    )


def automatic(device: torch.device) -> tuple[str, str]:
    """What `auto` takes on a device, and why."""
    if device.type not in _SIZES:
        return FLOAT32, f"precision: {FLOAT32} (auto: bfloat16 is taken on CPUs and CUDA devices only, this is {device.type})"
    speed, _ = relative_speed(device, torch.bfloat16)
    chosen = BFLOAT16 if speed >= MARGIN else FLOAT32
    how = f"{speed:.1f} times as fast as" if speed >= 1 else f"{1 / speed:,.1f} times slower than"
    return chosen, (
        f"precision: {chosen} (auto: on this {device.type} a bfloat16 product is {how} a float32 one; "
        f"bf16-mixed is taken from {MARGIN:g} times as fast)"
    )


def relative_speed(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """How many times faster a product is in this type than in float32, below 1 if slower: a lowest and a highest value.

    On a busy machine a single product takes any time, so several groups of products are compared, in each the fastest of
    either type, and on a CPU it is the processor's time that counts.
    """
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    low = high = 1.0
    for size in _SIZES[device.type]:
        matrices = [torch.ones(size, size, device=device, dtype=kind) for kind in (dtype, torch.float32)]
        for matrix in matrices:
            torch.mm(matrix, matrix)
        speeds = [_speed(matrices, clock) for _ in range(_GROUPS)]
        low, high = min(speeds), max(speeds)
        if high * _HOPELESS < 1:
            break
    return low, high


def _speed(matrices: Sequence[torch.Tensor], clock: Callable[[], float]) -> float:
    """The ratio of the fastest products; the types alternate, so that other load affects both."""
    rounds = [[product_seconds(matrix, clock) for matrix in matrices] for _ in range(_ROUNDS)]
    ours, float32 = (min(times) for times in zip(*rounds, strict=True))
    return float32 / ours


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
