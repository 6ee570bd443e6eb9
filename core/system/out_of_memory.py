"""Out of memory: telling it from other failures, and letting go of what it left behind."""

from __future__ import annotations

import gc

import torch

_SAID_BY_CPU_ALLOCATORS = ("can't allocate memory", "not enough memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """True for what CUDA, torch's CPU allocator, numpy and Python raise where memory ends."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _SAID_BY_CPU_ALLOCATORS)


def free_memory() -> None:
    """Give back what nobody refers to any more; call it outside of the `except` block, whose error holds tensors."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
