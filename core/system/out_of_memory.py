"""Out of memory: distinguishes it from other failures, and frees the memory that it leaves occupied."""

from __future__ import annotations

import gc

import torch

_SAID_BY_CPU_ALLOCATORS = ("can't allocate memory", "not enough memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """True for the errors that CUDA, torch's CPU allocator, numpy and Python raise when memory runs out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _SAID_BY_CPU_ALLOCATORS)


def free_memory() -> None:
    """Free unreferenced memory; call it outside of the `except` block, because the exception refers to tensors."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
